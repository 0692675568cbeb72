#!/usr/bin/env bash
# Launches the toy language model that comes with the worker: no GPU, no download, ready within a second.
#
# Variables (all optional):
#   TOY_SERVER           the program (cppworker-toy, found on PATH)
#   TOY_TOKEN_DELAY_MS   milliseconds that each generated word takes (5)
#   TOY_LOAD_MS          milliseconds that loading takes (300)
#   SERVER_PORT          port of the server (5001; the worker sets it from backend.json)
set -euo pipefail

TOY_SERVER="${TOY_SERVER:-cppworker-toy}"
if ! command -v "$TOY_SERVER" >/dev/null; then
  echo "launch.sh: cannot start the server: there is no program $TOY_SERVER;" \
    "put the folder of cppworker-toy on PATH, or its path into TOY_SERVER" >&2
  exit 127
fi

exec "$TOY_SERVER" --port "${SERVER_PORT:-5001}" --hostname 127.0.0.1 --json-output \
  --token-delay-ms "${TOY_TOKEN_DELAY_MS:-5}" --load-ms "${TOY_LOAD_MS:-300}"
