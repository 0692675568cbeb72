#!/usr/bin/env bash
# The main job, shown step by step with the real output: installs, builds, runs the worker on its embedded default
# (backend "toy", a local autoscaler), sends requests, kills the model, stops. Exits 0 only if each step did what
# it says. --stay keeps it running at the end and prints the commands to try.
set -euo pipefail
cd "$(dirname "$0")/.."

stay=false
case "${1:-}" in
  "") ;;
  --stay) stay=true ;;
  *)
    echo "launchers/demo.sh: unknown option $1; there is --stay" >&2
    exit 64
    ;;
esac

etc/install-packages.sh
echo "Building (the first time takes some minutes) …"
cmake --preset release >/dev/null
cmake --build --preset release --target cppworker cppworker-proxy cppworker-toy stand_in_autoscaler

bin=$PWD/build/release/bin
run=$(mktemp -d)
url=http://203.0.113.9:41234 # what this worker reports as its own address; only the text matters here
pids=()

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
  printf '\n\033[1mThis step did not do what it says: %s\033[0m\n' "$*" >&2
  tail -n 40 "$run/worker.out" >&2 || true
  exit 1
}
# The worker first, for its last report.
finish() {
  for ((i = ${#pids[@]} - 1; i >= 0; --i)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Waits until the command succeeds, $1 seconds at the most.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    read -rt 0.1 <> <(:) || true
  done
}

say "1. A local autoscaler, with an RSA key of its own"
"$bin/stand_in_autoscaler" --port 0 >"$run/autoscaler.out" 2>&1 &
pids+=($!)
within 10 grep -q 'listening on' "$run/autoscaler.out" || fail "the autoscaler should listen"
autoscaler=http://$(sed -n 's/.*listening on //p' "$run/autoscaler.out" | head -1)
curl -sf "$autoscaler/pubkey/" | head -2

route() { curl -sf "$autoscaler/route/" -d "{\"endpoint\": \"demo\", \"cost\": 24, \"url\": \"$url\"$1}"; }
payload='{"inputs": "The harbour", "parameters": {"max_new_tokens": 24, "seed": 7}}'

say "2. The worker: cppworker run"
# The model's own port: one that is free now.
model_port=$(bash -c 'for p in {15001..15999}; do (exec 3<>/dev/tcp/127.0.0.1/$p) 2>/dev/null || { echo $p; break; }; done')
cat >"$run/cppworker.json" <<EOF
{ "port": 0, "admin_port": 0, "listen_address": "127.0.0.1", "public_url": "$url",
  "server_url": "http://127.0.0.1:$model_port" }
EOF
# In a session of its own: Ctrl-C is for this script, which ends the worker once. Twice would hurry it.
setsid env PATH="$bin:$PATH" BACKEND=toy CONTAINER_ID=4711 MASTER_TOKEN=demo-token REPORT_ADDR="$autoscaler" \
  "$bin/cppworker" run --config "$run/cppworker.json" --run-dir "$run/run" >"$run/worker.out" 2>&1 &
worker=$!
pids+=("$worker")
within 10 test -s "$run/run/addresses.json" || fail "the worker should listen"
worker_url=http://127.0.0.1:$(jq .port "$run/run/addresses.json")
admin=http://127.0.0.1:$(jq .admin_port "$run/run/addresses.json")
echo "while the model loads: GET /readyz says $(curl -s "$admin/readyz")"
early=$(jq -cn --argjson route "$(route ', "covers": "url"')" --argjson payload "$payload" \
  '{auth_data: $route, payload: $payload}')
code=$(curl -s -o "$run/early" -w '%{http_code}' -D "$run/early.head" "$worker_url/generate" -d "$early")
echo "and a signed request gets: $code $(cat "$run/early"), $(tr -d '\r' <"$run/early.head" | grep -i retry-after)"
[ "$code" = 503 ] || fail "a request should be told that the model is loading"
within 60 curl -sf "$admin/readyz" || fail "the worker should become ready"
grep -E ' -> |launched|ready|perf' "$run/worker.out" | sed 's/^/  /'

say "3. A flat request: the signature among the payload's own fields"
flat=$(jq -cn --argjson route "$(route '')" --argjson payload "$payload" '$payload + $route | del(.request_idx)')
answer=$(curl -sf "$worker_url/generate" -H 'Content-Type: application/json' -d "$flat") || fail "it should be answered"
jq . <<<"$answer"
jq -e '.generated_text | length > 0' <<<"$answer" >/dev/null || fail "there should be generated text"

say "4. A wrapped request, signed over the URL alone"
wrapped=$(jq -cn --argjson route "$(route ', "covers": "url"')" --argjson payload "$payload" \
  '{auth_data: $route, session_id: null, payload: $payload}')
answer=$(curl -sf "$worker_url/generate" -H 'Content-Type: application/json' -d "$wrapped") || fail "it should be answered"
jq . <<<"$answer"
jq -e '.generated_text | length > 0' <<<"$answer" >/dev/null || fail "there should be generated text"

say "5. A stream, event by event"
stream=$(jq -cn --argjson route "$(route ', "covers": "url"')" --argjson payload "$payload" \
  '{auth_data: $route, payload: $payload}')
curl -sfN "$worker_url/generate_stream" -H 'Content-Type: application/json' -d "$stream" >"$run/stream" ||
  fail "it should be answered"
head -c 600 "$run/stream"
events=$(grep -c '^data:' "$run/stream")
echo "… $events events"
[ "$events" -ge 10 ] || fail "there should be a token an event"

say "6. Who isn't sent by the autoscaler gets nothing"
status() { curl -s -o "$run/refused" -w '%{http_code}' "$worker_url/generate" -H 'Content-Type: application/json' -d "$1"; }
code=$(status "$flat")
echo "the request of step 3, replayed:         $code $(cat "$run/refused")"
[ "$code" = 401 ] || fail "a replay should be refused"
code=$(status "$(jq -c '.cost = 1 | .reqnum += 1' <<<"$flat")")
echo "with a changed cost and number:          $code $(cat "$run/refused")"
[ "$code" = 401 ] || fail "a forgery should be refused"
code=$(status "$payload")
echo "without a signature:                     $code $(cat "$run/refused")"
[ "$code" = 401 ] || fail "an unsigned request should be refused"

say "7. What the autoscaler heard"
served() { curl -sf "$autoscaler/reports" | jq -e 'map(.cur_perf) | add > 0'; }
within 20 served || fail "the load of the three requests should be reported"
curl -sf "$autoscaler/reports" | jq -e 'map(select(.loadtime > 0 and .max_perf > 0)) | length == 1' >/dev/null ||
  fail "the time that loading took should be reported, once, and with it what the worker can do"
within 20 bash -c 'curl -sf "$0/deletes" | jq -e "map(.request_idxs) | flatten | length == 3"' "$autoscaler" ||
  fail "each request that had a request_idx should be reported as done, also the one that came too early"
curl -sf "$autoscaler/reports" | jq -c '(map(select(.loadtime > 0)) | last), (map(select(.cur_perf > 0)) | last)' |
  sed -E 's/"mtoken":"[^"]*"/"mtoken":"***"/'
curl -sf "$autoscaler/deletes" | jq -c 'last' | sed -E 's/"mtoken":"[^"]*"/"mtoken":"***"/'

say "8. Some of the metrics"
curl -sf "$admin/metrics" | grep -E '^cppworker_(requests_total|auth|model_ready|max_perf|work)' | head -20

say "9. kill -9 of the model"
model=$(curl -sf "$admin/status" | jq .model.pid)
kill -9 "$model"
echo "killed process $model"
other() { [ "$(curl -sf "$admin/status" | jq .model.pid)" != "$model" ] && curl -sf "$admin/readyz"; }
within 60 other || fail "the model should come back"
echo "back as process $(curl -sf "$admin/status" | jq .model.pid):"
tail -n 12 "$run/worker.out" | grep -E ' -> |ended|launched' | sed 's/^/  /'
again=$(jq -cn --argjson route "$(route ', "covers": "url"')" --argjson payload "$payload" \
  '{auth_data: $route, payload: $payload}')
curl -sf "$worker_url/generate" -H 'Content-Type: application/json' -d "$again" |
  jq -ce 'select(.generated_text | length > 0)' || fail "it should answer again"

if $stay; then
  say "It keeps running; Ctrl-C ends it. To try:"
  cat <<EOF
  curl -s $admin/status | jq .
  curl -s $admin/metrics
  route=\$(curl -s $autoscaler/route/ -d '{"endpoint": "demo", "cost": 24, "url": "$url"}')
  jq -n --argjson r "\$route" '{inputs: "The train"} + \$r' | curl -s $worker_url/generate -H 'Content-Type: application/json' -d @-
EOF
  wait "$worker" || fail "the worker ended"
  exit 0
fi

say "10. SIGTERM: everything is gone"
model=$(curl -sf "$admin/status" | jq .model.pid)
proxy=$(curl -sf "$admin/status" | jq .proxy.pid)
marks=$(for pid in "$model" "$proxy"; do tr '\0' '\n' <"/proc/$pid/environ" | grep '^CPPWORKER_TREE='; done)
kill -TERM "$worker"
code=0
wait "$worker" || code=$?
echo "the worker's exit code: $code"
[ "$code" -eq 0 ] || fail "it should be 0"
# Every process of the tree has its launch's mark in its environment, wherever it has fled to.
left=$(grep -lzxF "$marks" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 || true)
[ -z "$left" ] || fail "processes are left: $left"
echo "neither the model ($model) nor the proxy ($proxy) nor anything that they started is left"
say "Each step did what it says."
