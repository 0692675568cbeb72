#!/usr/bin/env bash
# Faults under load for as long as you like; prints the table that README carries. As root it fills a disk, too.
#
#   tests/chaos/run.sh [--minutes 20] [--seed N] [--json FILE] [--build DIR]
set -euo pipefail
build=build/release
cd "$(dirname "$0")/../.."
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=${2:?a folder} && shift ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
cmake --build "$build" --target chaos >&2
echo "Machine: $(nproc) cores, $(uname -sr); commit $(git rev-parse --short HEAD)."
exec "$build/bin/chaos" "${arguments[@]}"
