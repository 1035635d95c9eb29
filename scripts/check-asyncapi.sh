#!/usr/bin/env bash
# Validates events/asyncapi.yaml with @asyncapi/parser, pinned in scripts/asyncapi. Installs it into the cache folder that
# all checkouts share, once for each state of the pins.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  cat >&2 <<'END'
check-asyncapi: node or npm is missing, so the AsyncAPI document cannot be checked. Any of these helps:
  - on Debian: apt-get install nodejs npm
  - Node.js 18 or later from https://nodejs.org, on PATH
END
  exit 1
fi

cache=${ROLEBRIDGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolebridge}
pins=$(cat scripts/asyncapi/package.json scripts/asyncapi/package-lock.json scripts/asyncapi/check.mjs | cksum | cut -d' ' -f1)
tool=$cache/asyncapi-$pins

if [ ! -d "$tool" ]; then
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/asyncapi-part-XXXXXX")
  trap 'rm -rf "$part"' EXIT
  cp scripts/asyncapi/package.json scripts/asyncapi/package-lock.json scripts/asyncapi/check.mjs "$part"
  npm ci --prefix "$part" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  chmod 755 "$part"
  mv -T "$part" "$tool" 2>/dev/null || [ -d "$tool" ] # somebody else was faster
fi

node "$tool/check.mjs" events/asyncapi.yaml
