#!/usr/bin/env bash
# From a fresh clone: installs what is missing, builds, runs every test. Arguments go to ctest:
#   tests/run.sh -R proxy
# PRESET=asan (or tsan, debug) builds and tests that instead.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${PRESET:-release}
etc/install-packages.sh
cmake --preset "$preset"
cmake --build --preset "$preset"
exec ctest --preset "$preset" --no-tests=error -j "$(nproc)" "$@"
