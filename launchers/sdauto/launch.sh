#!/usr/bin/env bash
# Launches AUTOMATIC1111's stable-diffusion-webui with its API, listening on loopback alone.
#
# Variables (all optional):
#   WEBUI_ARGS       arguments of the web UI (older names: WEBUI_FLAGS, A1111_ARGS); `--api` is added unless it
#                    or `--nowebui` is there, and `--api-log` where it is missing: it makes a log line per request
#   SDAUTO_INIT      program that brings everything up (/opt/ai-dock/bin/init.sh, of the ai-dock images); it reads
#                    WEBUI_ARGS and WEBUI_PORT_LOCAL from the environment
#   SDAUTO_DIR       where launch.py lies, for images without that program (/stable-diffusion-webui)
#   SDAUTO_PYTHON    the Python that runs launch.py (python3)
#   SERVER_PORT      port of the server (17860; the worker sets it from backend.json)
#   PROVISIONING_SCRIPT, HF_TOKEN, CIVITAI_TOKEN, AUTO_UPDATE, COMMANDLINE_ARGS   passed on as they are
set -euo pipefail

SERVER_PORT="${SERVER_PORT:-17860}"
WEBUI_ARGS="${WEBUI_ARGS:-${WEBUI_FLAGS:-${A1111_ARGS:-}}}"
SDAUTO_DIR="${SDAUTO_DIR:-/stable-diffusion-webui}"
SDAUTO_PYTHON="${SDAUTO_PYTHON:-python3}"
DEFAULT_INIT="/opt/ai-dock/bin/init.sh"

refuse() {
  echo "launch.sh: cannot start the server: $1" >&2
  exit "$2"
}

# True when the flag is among the arguments, its own or those that launch.py adds from COMMANDLINE_ARGS.
has_flag() { [[ " $WEBUI_ARGS ${COMMANDLINE_ARGS:-} " == *" $1 "* ]]; }

# Readiness is the line that says the model is loaded; with this flag it comes only after a first request.
has_flag --skip-load-model-at-start &&
  refuse "--skip-load-model-at-start keeps the model from ever getting ready; take it out of WEBUI_ARGS" 64
has_flag --api || has_flag --nowebui || WEBUI_ARGS="$WEBUI_ARGS --api"
has_flag --api-log || WEBUI_ARGS="$WEBUI_ARGS --api-log"
WEBUI_ARGS="${WEBUI_ARGS# }"

# Python buffers what it prints into a pipe; the lines that tell of readiness would come minutes late.
export PYTHONUNBUFFERED=1
export SERVER_PORT WEBUI_ARGS
export WEBUI_FLAGS="$WEBUI_ARGS" WEBUI_PORT_LOCAL="$SERVER_PORT"

if [[ -n "${SDAUTO_INIT:-}" || -x "$DEFAULT_INIT" ]]; then
  SDAUTO_INIT="${SDAUTO_INIT:-$DEFAULT_INIT}"
  command -v "$SDAUTO_INIT" >/dev/null || refuse "$SDAUTO_INIT is no program; see SDAUTO_INIT" 127
  exec "$SDAUTO_INIT"
fi

[[ -f "$SDAUTO_DIR/launch.py" ]] ||
  refuse "neither $DEFAULT_INIT nor $SDAUTO_DIR/launch.py is there; set SDAUTO_INIT or SDAUTO_DIR" 127
cd "$SDAUTO_DIR"
set -f # a '*' among the arguments is no file pattern
# shellcheck disable=SC2086  # split at blanks, as it always was
exec "$SDAUTO_PYTHON" -u launch.py $WEBUI_ARGS --port "$SERVER_PORT"
