"""Asks for a provider integration and waits for the answer. The exit code is the one that docs/REFERENCE.md gives the
reason of a refusal; 0 is yes.

    pip install confluent-kafka cryptography
    KAFKA_BROKERS=kafka-1:9092 ROLEBRIDGE_ACTOR=u-admin python create_integration.py ORGANIZATION ENVIRONMENT NAME ROLE_ARN
"""

import base64
import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Producer, TopicPartition

# Names this producer. Together with an id it is what makes a command one command.
SOURCE = "/examples/python"

EXITS = {
    "invalid_configuration": 2, "forbidden": 3, "not_found": 4, "resource_already_exists": 5, "resource_in_use": 5,
    "conflict": 5, "quota_exceeded": 6, "too_many_requests": 7, "unavailable": 7, "timeout": 7, "unauthenticated": 8, "unproved": 8,
    "internal_error": 1,
}

# TLS and SASL: security.protocol, sasl.mechanism, sasl.username, sasl.password.
KAFKA = {"bootstrap.servers": os.environ.get("KAFKA_BROKERS", ""), "log_level": 3}
PREFIX = os.environ.get("ROLEBRIDGE_PREFIX", "rolebridge.")


def fail(code, text):
    print(text, file=sys.stderr)
    return code


def follow_events():
    """A consumer of all events since ten minutes ago: clocks differ, and a retry finds an answer that came meanwhile."""
    # No group is joined and nothing is committed, though the client wants a name for one. Committed records only is its default.
    consumer = Consumer({**KAFKA, "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed"})
    topic = consumer.list_topics(PREFIX + "events", timeout=30).topics[PREFIX + "events"]
    if topic.error:
        raise KafkaException(topic.error)
    since = int((time.time() - 600) * 1000)
    places = consumer.offsets_for_times([TopicPartition(topic.topic, p, since) for p in topic.partitions], timeout=30)
    for place in places:
        if place.error:
            raise KafkaException(place.error)
        if place.offset == OFFSET_END:  # nothing that late: the end as it is now, not as it is at the first read
            place.offset = consumer.get_watermark_offsets(place, timeout=30)[1]
    consumer.assign(places)
    return consumer


def sign(headers, data):
    """Adds a signature over all of the event, with the key in the file SIGNING_KEY (PKCS #8 in PEM)."""
    with open(os.environ["SIGNING_KEY"], "rb") as file:
        key = load_pem_private_key(file.read(), None)
    headers["ce_signaturekey"] = os.environ.get("SIGNING_KEY_ID", "")
    event = {name.removeprefix("ce_"): value for name, value in headers.items() if name != "content-type"}
    event |= {"datacontenttype": headers["content-type"], "data": data}
    # Where all values are texts, this is the canonical form of RFC 8785; with numbers take a library, such as rfc8785.
    text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    headers["ce_signature"] = base64.urlsafe_b64encode(key.sign(text.encode())).decode().rstrip("=")


def send(command_id, organization, data):
    """Writes the command and returns when Kafka has it."""
    headers = {
        "ce_specversion": "1.0", "ce_id": command_id, "ce_source": SOURCE, "ce_type": "integration.create",
        "ce_time": datetime.now(timezone.utc).isoformat(), "ce_organization": organization,
        "ce_actor": os.environ["ROLEBRIDGE_ACTOR"], "content-type": "application/json",
    }
    if os.environ.get("SIGNING_KEY"):
        sign(headers, data)
    failed = []
    # With "partitioner": "murmur2_random" the command comes to its organization's partition at once. The default of this
    # client brings it to another, from where it is sent on: a little later, decided just the same.
    producer = Producer({**KAFKA, "enable.idempotence": True, "delivery.timeout.ms": 30000})
    producer.produce(PREFIX + "commands", key=organization, value=json.dumps(data), headers=headers,
                     on_delivery=lambda error, _: error and failed.append(error))
    producer.flush()
    if failed:
        raise KafkaException(failed[0])


def await_answer(consumer, command_id, organization, within):
    """The one event that answers the command, or None."""
    deadline = time.monotonic() + within
    unproved = None
    while (left := deadline - time.monotonic()) > 0:
        event = consumer.poll(min(left, 1))
        if event is None:
            continue
        if event.error():
            raise KafkaException(event.error())
        headers = {name: value.decode() for name, value in event.headers() or []}
        asked = headers.get("ce_commandid"), headers.get("ce_commandsource"), headers.get("ce_organization")
        if asked != (command_id, SOURCE, organization):
            continue
        answer = headers, json.loads(event.value())
        if not os.environ.get("SIGNING_KEY") or answer[1].get("code") != "unproved":
            return answer
        unproved = answer  # perhaps of what somebody else sent under our id: ours is still to be answered
    return unproved


def main(args):
    if len(args) != 4 or not os.environ.get("KAFKA_BROKERS") or not os.environ.get("ROLEBRIDGE_ACTOR"):
        return fail(2, "usage: KAFKA_BROKERS=… ROLEBRIDGE_ACTOR=… create_integration.py ORGANIZATION ENVIRONMENT NAME ROLE_ARN")
    organization, environment, name, role = args
    # A retry has the id of the first attempt: whatever happened to that one, it is decided once.
    command_id = os.environ.get("COMMAND_ID") or str(uuid.uuid4())
    within = int(os.environ.get("ANSWER_WITHIN", "60"))  # seconds
    data = {
        "environment": environment, "display_name": name,
        "config": {"kind": "AwsIntegrationConfig", "customer_iam_role_arn": role},
    }
    try:
        consumer = follow_events()  # before the command is sent, or its answer could be missed
        try:
            send(command_id, organization, data)
            answer = await_answer(consumer, command_id, organization, within)
        finally:
            consumer.close()
    except KafkaException as e:
        return fail(7, f"{e}; try again with COMMAND_ID={command_id}")
    if answer is None:
        return fail(7, f"no answer within {within} s; try again with COMMAND_ID={command_id}, or look into {PREFIX}dlq")
    headers, of = answer
    if headers["ce_type"] == "command.refused":
        return fail(EXITS.get(of["code"], 1), f"refused: {of['code']}: {of.get('field', '')} {of['message']}")
    print(headers["ce_subject"], of["external_id"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
