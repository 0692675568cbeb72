#!/usr/bin/env bash
# Downloads the model when it is missing, then launches text-generation-webui (v1.7) with its blocking API.
#
# Variables (all optional):
#   MODEL_USER, MODEL_NAME   the model on Hugging Face; when either is empty, both take their defaults
#                            (TheBloke, Llama-2-13B-chat-GPTQ)
#   HF_TOKEN                 token for gated models (or HF_USER and HF_PASS), read by download-model.py
#   OOBA_DIR                 where server.py and download-model.py lie (/app)
#   OOBA_PYTHON              the Python that runs them (python3)
#   OOBA_ARGS                further arguments of server.py, split at blanks
#   SERVER_PORT              port of the API (5001; the worker sets it from backend.json); the port after it is the
#                            streaming API's
set -euo pipefail

SERVER_PORT="${SERVER_PORT:-5001}"
OOBA_DIR="${OOBA_DIR:-/app}"
OOBA_PYTHON="${OOBA_PYTHON:-python3}"
OOBA_ARGS="${OOBA_ARGS:-}"
if [[ -z "${MODEL_USER:-}" || -z "${MODEL_NAME:-}" ]]; then
  MODEL_USER="TheBloke"
  MODEL_NAME="Llama-2-13B-chat-GPTQ"
fi
MODEL="${MODEL_USER}_${MODEL_NAME}"

refuse() {
  echo "launch.sh: cannot start the server: $1" >&2
  exit "$2"
}

cd "$OOBA_DIR" || refuse "there is no folder $OOBA_DIR; set OOBA_DIR to the one with server.py" 64
command -v "$OOBA_PYTHON" >/dev/null || refuse "$OOBA_PYTHON is no program; see OOBA_PYTHON" 127

# Python buffers what it prints into a pipe; the lines that tell of readiness would come minutes late.
export PYTHONUNBUFFERED=1

# The mark tells a download that was cut off from a model that is there: without it, a server started on half a
# model would stay up, never ready.
mark="models/.downloading-$MODEL"
if [[ ! -e "models/$MODEL" || -e "$mark" ]]; then
  echo "starting model download"
  mkdir -p models
  touch "$mark"
  "$OOBA_PYTHON" download-model.py "$MODEL_USER/$MODEL_NAME" ||
    refuse "the download of $MODEL_USER/$MODEL_NAME failed; see the lines above" 75
  rm -f "$mark"
fi

set -f # a '*' among the arguments is no file pattern
# shellcheck disable=SC2086  # split at blanks, as it always was
exec "$OOBA_PYTHON" server.py --extensions api --api-blocking-port "$SERVER_PORT" \
  --api-streaming-port "$((SERVER_PORT + 1))" --model "$MODEL" $OOBA_ARGS
