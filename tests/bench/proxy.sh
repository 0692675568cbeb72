#!/usr/bin/env bash
# Measures the proxy against its budgets, side by side with nginx in one run: from a fresh clone it installs what
# is missing, builds, measures, and prints a table. README.md beside this file says what each figure means.
#
#   tests/bench/proxy.sh [--quick] [--case NAME]… [--json FILE] [--connections N] [--build DIR]
#
#   --quick          2 s a run instead of 5
#   --case NAME      only this one; may be repeated (memory start url-only plain full large stream
#                    together crowd)
#   --json FILE      the table as JSON, too
#   --connections N  idle connections of the case memory (10000, or what the limit of descriptors allows)
#   --build DIR      the programs of this configured build tree instead of build/release
#
# Exits 0 when everything was measured, whether or not the budgets are met.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

quick=false seconds=5 rounds=2 signed=12000 connections=10000 build=build/release json="" cases=()

# shellcheck source=setup.sh
. tests/bench/setup.sh
# shellcheck source=measure.sh
. tests/bench/measure.sh
# shellcheck source=cases.sh
. tests/bench/cases.sh

while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true seconds=2 signed=6000 ;;
    --case) cases+=("${2:?a case}") && shift ;;
    --json) json=$(realpath -m "${2:?a file}") && shift ;;
    --connections) connections=${2:?a number} && shift ;;
    --build) build=${2:?a folder} && shift ;;
    *) fail "unknown option $1; see the head of $0" ;;
  esac
  shift
done
[ ${#cases[@]} -gt 0 ] || read -ra cases <<<"$all_cases"
for name in "${cases[@]}"; do
  [[ " $all_cases " == *" $name "* ]] || fail "no such case: $name; there are: $all_cases"
done

make_run_folder
# Load, proxy and upstream want both cores of the small machine that the budgets are for.
awk '$1 > 0.5 {exit 1}' /proc/loadavg ||
  progress "the machine is busy (load average $(cut -d' ' -f1 /proc/loadavg)): figures will be worse than they should"
ulimit -n "$(ulimit -Hn)"
# The proxy keeps descriptors back for as many requests as can be in flight (proxy/descriptor_budget.hpp).
[ "$(ulimit -n)" = unlimited ] || [ "$connections" -lt $(($(ulimit -n) - 4300)) ] ||
  connections=$(($(ulimit -n) > 8600 ? $(ulimit -n) - 4300 : $(ulimit -n) / 2 - 100))
install_missing
find_nginx
build_programs
make_keys_and_bodies
start_worker
start_nginx

for name in "${cases[@]}"; do
  progress "--- $name"
  "case_${name//-/_}"
done

print_table
[ -z "$json" ] || print_json >"$json"
