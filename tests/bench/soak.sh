#!/usr/bin/env bash
# Runs the worker under a mixed load for a long time, and looks whether anything grows: memory, descriptors, books
# that don't balance. By hand; what it says at the end goes into the record.
#
#   tests/bench/soak.sh [SECONDS] [--build DIR]     1800 when not told
#
# The load: requests of 1.7 kB with a url-only signature, fully signed ones, 2 MB bodies, streams, clients that leave
# in the middle of a stream, wrong signatures, and an inference server that is killed every few minutes. Exits 0 when
# all is as it was at the beginning.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."

readonly sample_seconds=10
# A worker that has warmed up may still grow by what its allocator rounds up.
readonly allowed_growth_kib=4096
# Listener, control, ledger, and a handful for each thread; connections are all closed then.
readonly allowed_descriptors=40
# Samples: longer than what a model has to be ready for (300 s) until its restart is the first again, so that the
# waits before restarts don't add up.
readonly restart_every=36

duration=1800 build=build/release
# shellcheck source=setup.sh
. tests/bench/setup.sh
# shellcheck source=measure.sh
. tests/bench/measure.sh

while [ $# -gt 0 ]; do
  case $1 in
    --build) build=${2:?a folder} && shift ;;
    *[!0-9]* | '') fail "unknown option $1; see the head of $0" ;;
    *) duration=$1 ;;
  esac
  shift
done

make_run_folder
loads=()

status() { curl -sf "$admin/status"; }
descriptors() { ls "/proc/$1/fd" | wc -l; }
# The process may have been replaced; then the soak has failed, and says so.
same_proxy() { [ "$(status | jq .proxy.pid)" = "$proxy_pid" ]; }

# again COMMAND…: over and over until the end. Answers of other kinds than 200 are expected while the inference
# server restarts.
again() {
  while [ ! -e "$run/stop" ]; do
    "$@" >>"$run/load.out" 2>&1 || true
    read -rt 0.2 <> <(:) || true
  done
}
wrk_for_10s() { # BODY TARGET CONNECTIONS
  BENCH_BODY=$1 wrk -t 1 -c "$3" -d 10s --timeout 20s -s tests/bench/wrk.lua "http://127.0.0.1:$ours_port$2"
}
signed_bodies() {
  "$bin/bench_sign" --key "$run/key.pem" --url "$worker_url" --shape flat --covers full --bytes 1700 \
    --from "$(date +%s%6N)" --count 2000 >"$run/signed.jsonl"
  "$bin/bench_load" requests --target /generate --bodies "$run/signed.jsonl" --count 2000 --port "$ours_port"
}
streams() {
  "$bin/bench_load" streams --target "/stream?events=200&interval_us=50000" --body "$run/wrapped.json" --events 200 \
    --streams 50 --port "$ours_port"
}
leave_streams() {
  curl -s -N -o /dev/null --max-time 1 -H 'Content-Type: application/json' --data-binary "@$run/wrapped.json" \
    "http://127.0.0.1:$ours_port/stream?events=1000&interval_us=20000"
}
wrong_signatures() {
  sed 's/"cost":[0-9]*/"cost":1/; s/41234/41235/' "$run/wrapped.json" >"$run/wrong.json"
  curl -s -o /dev/null -H 'Content-Type: application/json' --data-binary "@$run/wrong.json" \
    "http://127.0.0.1:$ours_port/generate"
}

ulimit -n "$(ulimit -Hn)"
install_missing
build_programs
make_keys_and_bodies
start_worker
admin=http://127.0.0.1:$(jq .admin_port "$run/worker/addresses.json")

load() {
  again "$@" &
  loads+=($!) started+=($!)
}
load wrk_for_10s "$run/wrapped.json" /generate 16
load wrk_for_10s "$run/large.json" /generate 2
load signed_bodies
load streams
load leave_streams
load wrong_signatures

# Samples: seconds, KiB of the proxy, KiB of the supervisor.
: >"$run/samples"
began=$SECONDS
for ((sample = 1; SECONDS - began < duration; ++sample)); do
  read -rt "$sample_seconds" <> <(:) || true
  same_proxy || fail "the proxy was replaced after $((SECONDS - began)) s: $(tail -n 5 "$run/worker.out")"
  printf '%s %s %s\n' "$((SECONDS - began))" "$(anonymous_kib "$proxy_pid")" "$(anonymous_kib "$supervisor_pid")" \
    >>"$run/samples"
  progress "$(tail -n 1 "$run/samples" | awk '{printf "%d s: proxy %d KiB, supervisor %d KiB", $1, $2, $3}'), \
$(descriptors "$proxy_pid") descriptors, $(status | jq -c '.books | map_values(.requests)')"
  ((sample % restart_every)) || { progress "killing the inference server" && pkill -KILL -P "$supervisor_pid" bench_upstream; }
done

touch "$run/stop"
for pid in "${loads[@]}"; do wait "$pid" || true; done
nothing_in_flight() { [ "$(status | jq .books.in_flight.requests)" = 0 ]; }
within 30 nothing_in_flight || fail "requests are in flight that nobody waits for: $(status | jq -c .books)"

books=$(status | jq -c '.books | map_values(.requests)')
balance=$(jq '.received - .served - .errored - .cancelled - .rejected' <<<"$books")
# Of the first third the worker warms up; what the second had in the middle, the last must not pass by much.
growth() { # COLUMN
  awk -v column="$1" '{value[NR] = $column}
    END {n = int(NR / 3); for (i = n + 1; i <= 2 * n; ++i) early += value[i]; for (i = 2 * n + 1; i <= 3 * n; ++i) late += value[i]
         printf "%d", n ? (late - early) / n : 0}' "$run/samples"
}
proxy_growth=$(growth 2) supervisor_growth=$(growth 3) open=$(descriptors "$proxy_pid")
progress "after $((SECONDS - began)) s: books $books; growth of the proxy $proxy_growth KiB, of the supervisor \
$supervisor_growth KiB; $open descriptors"
[ "$balance" = 0 ] || fail "the books don't balance: $balance requests are missing"
[ "$proxy_growth" -lt $allowed_growth_kib ] || fail "the proxy grows"
[ "$supervisor_growth" -lt $allowed_growth_kib ] || fail "the supervisor grows"
few_descriptors() { [ "$(descriptors "$proxy_pid")" -lt $allowed_descriptors ]; }
within 30 few_descriptors || fail "$(descriptors "$proxy_pid") descriptors are left open"
progress "soak: passed"
