#!/usr/bin/env bash
# Asks for a provider integration and waits for the answer. The exit code is the one that docs/REFERENCE.md gives the reason
# of a refusal; 0 is yes. Needs kcat 1.7 and jq, and openssl 3 to sign.
#
#   KAFKA_BROKERS=kafka-1:9092 ROLEBRIDGE_ACTOR=u-admin ./create-integration.sh ORGANIZATION ENVIRONMENT NAME ROLE_ARN
set -euo pipefail

if (($# != 4)) || [ -z "${KAFKA_BROKERS:-}" ] || [ -z "${ROLEBRIDGE_ACTOR:-}" ]; then
  echo "usage: KAFKA_BROKERS=… ROLEBRIDGE_ACTOR=… $0 ORGANIZATION ENVIRONMENT NAME ROLE_ARN" >&2
  exit 2
fi
organization=$1 environment=$2 name=$3 role=$4

# Names this producer. Together with an id it is what makes a command one command.
source=/examples/kcat
# A retry has the id of the first attempt: whatever happened to that one, it is decided once.
id=${COMMAND_ID:-$(cat /proc/sys/kernel/random/uuid)}
prefix=${ROLEBRIDGE_PREFIX:-rolebridge.}
within=${ANSWER_WITHIN:-60} # seconds

declare -A exits=(
  [invalid_configuration]=2 [forbidden]=3 [not_found]=4 [resource_already_exists]=5 [resource_in_use]=5 [conflict]=5
  [quota_exceeded]=6 [too_many_requests]=7 [unavailable]=7 [timeout]=7 [unauthenticated]=8 [unproved]=8 [internal_error]=1
)

# TLS and SASL: -X security.protocol=… -X sasl.mechanism=… or -F with a file.
kafka=(kcat -b "$KAFKA_BROKERS" -q -X "socket.timeout.ms=10000")

# The whole CloudEvent is the record's value here: structured mode, which the content type tells. With members sorted (-S), without
# white space and with nothing but texts in it, it has the canonical form of RFC 8785 too, which is what is signed.
event=$(jq -cnS --arg id "$id" --arg source "$source" --arg organization "$organization" --arg actor "$ROLEBRIDGE_ACTOR" \
  --arg environment "$environment" --arg name "$name" --arg role "$role" --arg key "${SIGNING_KEY_ID:-}" '{
    specversion: "1.0", id: $id, source: $source, type: "integration.create", time: (now | todate),
    organization: $organization, actor: $actor, datacontenttype: "application/json",
    data: {environment: $environment, display_name: $name, config: {kind: "AwsIntegrationConfig", customer_iam_role_arn: $role}}
  } + if $key == "" then {} else {signaturekey: $key} end')
if [ -n "${SIGNING_KEY:-}" ]; then # a file: PKCS #8 in PEM
  text=$(mktemp)
  trap 'rm -f "$text"' EXIT
  printf %s "$event" >"$text"
  signature=$(openssl pkeyutl -sign -rawin -inkey "$SIGNING_KEY" -in "$text" | base64 -w0 | tr '+/' '-_' | tr -d =)
  event=$(jq -c --arg signature "$signature" '.signature = $signature' <<<"$event")
fi

# -k is the record's key.
"${kafka[@]}" -P -t "${prefix}commands" -k "$organization" -H content-type=application/cloudevents+json \
  -X enable.idempotence=true -X message.timeout.ms=30000 <<<"$event" ||
  { echo "the command could not be sent; try again with COMMAND_ID=$id" >&2; exit 7; }

# The last 10,000 records of each partition, again until the answer is among them. Headers come as a list: name, value, name…
find_answer() {
  "${kafka[@]}" -C -t "${prefix}events" -o -10000 -e -J -X isolation.level=read_committed |
    jq -c --arg id "$id" --arg source "$source" --arg organization "$organization" '
      (.headers // [] | [range(0; length; 2) as $n | {(.[$n]): .[$n + 1]}] | add // {}) as $h
      | select($h.ce_commandid == $id and $h.ce_commandsource == $source and $h.ce_organization == $organization)
      | {type: $h.ce_type, subject: $h.ce_subject, data: (.payload | fromjson)}'
}

# What is not proved may be what somebody else sent under our id: who signs goes on looking for another answer.
deadline=$((SECONDS + within))
while true; do
  answers=$(find_answer) || answers=
  answer=$(jq -c 'select(.data.code != "unproved")' <<<"$answers" | head -n 1)
  unproved=$(jq -c 'select(.data.code == "unproved")' <<<"$answers" | head -n 1)
  if [ -z "$answer" ] && { [ -z "${SIGNING_KEY:-}" ] || ((SECONDS >= deadline)); }; then answer=$unproved; fi
  [ -z "$answer" ] || break
  if ((SECONDS >= deadline)); then
    echo "no answer within $within s; try again with COMMAND_ID=$id, or look into ${prefix}dlq" >&2
    exit 7
  fi
  sleep 1
done

if [ "$(jq -r .type <<<"$answer")" = command.refused ]; then
  jq -r '.data | "refused: \(.code): \(.field // "") \(.message)"' <<<"$answer" >&2
  exit "${exits[$(jq -r .data.code <<<"$answer")]:-1}"
fi
jq -r '"\(.subject) \(.data.external_id)"' <<<"$answer"
