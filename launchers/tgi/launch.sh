#!/usr/bin/env bash
# Launches Hugging Face text-generation-inference (TGI 1.x to 3.x), listening on loopback alone.
#
# Variables (all optional):
#   MODEL_ARGS    all arguments of text-generation-launcher, split at blanks; quotes aren't understood
#   MODEL_CMD     the same, under its older name; used when MODEL_ARGS is empty
#   MODEL_ID      the model's name, when neither is given: `--model-id MODEL_ID`
#   HF_TOKEN      token for gated models; HUGGING_FACE_HUB_TOKEN is the same under the older name
#   SERVER_PORT   port of the server (5001; the worker sets it from backend.json)
#
# TGI takes every flag from the environment too, and containers set HOSTNAME and PORT to something else: so both
# are given here, behind the user's arguments.
set -euo pipefail

SERVER_PORT="${SERVER_PORT:-5001}"
DEFAULT_ARGS="--model-id TheBloke/Llama-2-7B-chat-GPTQ --quantize gptq"

if [[ -z "${MODEL_ARGS:-}" ]]; then
  if [[ -n "${MODEL_CMD:-}" ]]; then
    MODEL_ARGS="$MODEL_CMD"
  elif [[ -n "${MODEL_ID:-}" ]]; then
    MODEL_ARGS="--model-id $MODEL_ID"
  else
    MODEL_ARGS="$DEFAULT_ARGS"
  fi
fi

# TGI up to 2.0 reads only the older name, later versions prefer the newer one.
if [[ -n "${HF_TOKEN:-${HUGGING_FACE_HUB_TOKEN:-}}" ]]; then
  export HF_TOKEN="${HF_TOKEN:-$HUGGING_FACE_HUB_TOKEN}"
  export HUGGING_FACE_HUB_TOKEN="${HUGGING_FACE_HUB_TOKEN:-$HF_TOKEN}"
fi

if ! command -v text-generation-launcher >/dev/null; then
  echo "launch.sh: cannot start the server: text-generation-launcher is not on PATH;" \
    "run the worker inside the image of text-generation-inference" >&2
  exit 127
fi

set -f # a '*' among the arguments is no file pattern
# shellcheck disable=SC2086  # split at blanks, as it always was
exec text-generation-launcher $MODEL_ARGS --json-output --port "$SERVER_PORT" --hostname 127.0.0.1
