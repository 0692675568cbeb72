# Part of proxy.sh: one function a case, each ends in rows of the table. The limits are those of the budgets.
# shellcheck shell=bash

readonly all_cases="memory start url-only plain full large stream together crowd"

load_wrk() { # BODY TARGET CONNECTIONS PORT
  BENCH_BODY=$1 wrk -t 1 -c "$3" -d "${seconds}s" --timeout 20s -s tests/bench/wrk.lua "http://127.0.0.1:$4$2"
}
# Every request its own body; the rounds go on where the last one stopped, for a body is fresh but once.
load_signed() { # PORT
  "$bin/bench_load" requests --target /generate --bodies "$run/signed.jsonl" --count "$signed" \
    --skip $((round * signed)) --port "$1"
}
load_streams() { # HOW STREAMS EVENTS_PER_SECOND PORT
  local events=$((seconds * $3))
  "$bin/bench_load" streams --target "/stream?events=$events&interval_us=$((1000000 / $3))&$1" \
    --body "$run/wrapped.json" --events $events --streams "$2" --port "$4"
}

readonly cpu_per_request='.cpu_ns / .requests / 1000'

case_url_only() {
  # Of the newest Python worker, on a machine of the same kind; the budget is 50 times that.
  local -r python_requests_per_second=620
  alternate "ours nginx" load_wrk "$run/wrapped.json" /generate 64
  local nginx_cpu
  nginx_cpu=$(best nginx least "$cpu_per_request")
  row url-only "CPU per request, wrapped, url-only signature, 1.7 kB, 64 connections" µs \
    "$(best ours least "$cpu_per_request")" "$nginx_cpu" "$nginx_cpu" "≤ 1.0 × nginx"
  local floor=$((50 * python_requests_per_second))
  row url-only "requests per second, the same" /s "$(best ours most '.requests / .seconds')" \
    "$(best nginx most '.requests / .seconds')" "+$floor" "≥ $floor/s"
}

# The same without a formula: what the sandbox of the workload expressions costs.
case_plain() {
  alternate "ours nginx" load_wrk "$run/wrapped.json" /generate_plain 64
  row plain "CPU per request, the same, workload a plain path instead of tgi's formula" µs \
    "$(best ours least "$cpu_per_request")" "$(best nginx least "$cpu_per_request")" - ""
}

case_full() {
  progress "signing $((rounds * signed)) requests"
  "$bin/bench_sign" --key "$run/key.pem" --url "$worker_url" --shape flat --covers full --bytes 1700 \
    --count $((rounds * signed)) >"$run/signed.jsonl"
  alternate "ours nginx" load_signed
  local verify allowed
  verify=$(openssl speed -seconds 1 rsa2048 2>/dev/null | awk '/^rsa 2048/ {print 1e6 / $NF}')
  allowed=$(calculate "$(best nginx least "$cpu_per_request") + $verify")
  row full "CPU per request, flat, full signature; nginx + one RSA-2048 verify ($(printf %.1f "$verify") µs)" µs \
    "$(best ours least "$cpu_per_request")" "$allowed" "$allowed" "≤ 1.0 × (nginx + verify)"
  rm "$run/signed.jsonl"
}

case_large() {
  alternate "ours nginx" load_wrk "$run/large.json" /generate 8
  local nginx_cpu
  nginx_cpu=$(best nginx least "$cpu_per_request")
  row large "CPU per request, 2 MB body, 8 connections" µs "$(best ours least "$cpu_per_request")" "$nginx_cpu" \
    "$(calculate "1.2 * $nginx_cpu")" "≤ 1.2 × nginx"
}

stream_rows() { # CASE TITLE BUDGET?
  local nginx_cpu direct ours_added nginx_added budget_cpu="" budget_delay="" limit_cpu=- limit_delay=-
  nginx_cpu=$(best nginx least '.cpu_ns / .events / 1000')
  direct=$(best direct least .p99_us)
  ours_added=$(calculate "($(best ours least .p99_us) - $direct) / 1000")
  nginx_added=$(calculate "($(best nginx least .p99_us) - $direct) / 1000")
  if $3; then
    limit_cpu=$nginx_cpu budget_cpu="≤ 1.0 × nginx" limit_delay=$nginx_added budget_delay="≤ nginx's"
  fi
  row "$1" "CPU per event, $2" µs "$(best ours least '.cpu_ns / .events / 1000')" "$nginx_cpu" "$limit_cpu" "$budget_cpu"
  row "$1" "added delay per event, p99, the same (direct: $(calculate "$direct | round") µs)" ms \
    "$ours_added" "$nginx_added" "$limit_delay" "$budget_delay"
}

# More rounds of the streams, and shorter ones: one neighbour's burst spoils the p99 of a whole round.
alternate_streams() { # HOW STREAMS EVENTS_PER_SECOND
  local rounds=$((rounds + 1)) seconds=3
  ! $quick || seconds=2
  alternate "direct ours nginx" load_streams "$@"
}

case_stream() {
  alternate_streams together=0 100 50
  stream_rows stream "100 streams of 50 events/s" true
}

# As a server with continuous batching sends: the events of all streams at the same instant.
case_together() {
  alternate_streams together=1 100 50
  stream_rows together "the same, all streams' events at the same instants" false
}

# Many streams at once, of which each is slow: the same events as in `stream`, over ten times the connections.
case_crowd() {
  alternate_streams together=0 1000 5
  stream_rows crowd "1000 streams of 5 events/s" false
}

# Idle connections held by a process of ours; their number is for the caller to choose.
hold_connections() { # PORT
  rm -f "$run/hold"
  mkfifo "$run/hold"
  : >"$run/held"
  "$bin/bench_load" idle --target /generate --body "$run/wrapped.json" --connections "$connections" --port "$1" \
    <"$run/hold" >"$run/held" &
  holder_pid=$!
  started+=("$holder_pid")
  exec {holding}>"$run/hold"
  within 60 grep -q open "$run/held" || fail "the idle connections can't be opened"
}
release_connections() {
  exec {holding}>&-
  wait "$holder_pid"
}

per_connection_kib() { # WHO
  local before after pids
  mapfile -t pids < <(pids_of "$1")
  # What a first request allocates for good isn't a connection's.
  connections=8 hold_connections "$(port_of "$1")"
  release_connections
  before=$(anonymous_kib "${pids[@]}")
  hold_connections "$(port_of "$1")"
  after=$(anonymous_kib "${pids[@]}")
  release_connections
  kib=$(calculate "($after - $before) / $connections")
}

# How far a body of 20 MiB drives the peak above what was resident before, as a multiple of the body.
peak_of_huge() { # WHO
  local before=0 peak=0 pid pids code
  mapfile -t pids < <(pids_of "$1")
  for pid in "${pids[@]}"; do
    echo 5 >"/proc/$pid/clear_refs" # the peak is counted anew
    before=$((before + $(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")))
  done
  code=$(curl -s -o "$run/answer" -w '%{http_code}' -H 'Expect:' -H 'Content-Type: application/json' \
    --data-binary "@$run/huge.json" "http://127.0.0.1:$(port_of "$1")/generate")
  [ "$code" = 200 ] || fail "$1 answered $code to 20 MiB: $(head -c 200 "$run/answer")"
  for pid in "${pids[@]}"; do peak=$((peak + $(awk '/^VmHWM/ {print $2}' "/proc/$pid/status"))); done
  times=$(calculate "($peak - $before) / (20 * 1024)")
}

# First of all cases, while the processes are as fresh as after a start.
case_memory() {
  local pid kib times ours_kib
  for who in supervisor proxy; do
    pid=${who}_pid
    row memory "memory, $who idle (RssAnon + RssFile; Pss $(calculate "$(proportional_kib "${!pid}") / 102.4 | round / 10") MiB)" \
      MiB "$(calculate "$(resident_kib "${!pid}") / 1024")" - 10 "≤ 10 MiB"
  done
  per_connection_kib ours
  ours_kib=$kib
  per_connection_kib nginx
  row memory "memory per idle connection, of $connections, after a request each (RssAnon)" KiB "$ours_kib" "$kib" 6 "≤ 6 KiB"
  peak_of_huge ours
  local ours_times=$times
  peak_of_huge nginx
  row memory "memory, peak for a 20 MiB body (VmHWM)" "× body" "$ours_times" "$times" 1.5 "≤ 1.5 × body"
}

case_start() {
  local report
  report=$("$bin/bench_load" start --program "$bin/cppworker-proxy" --settings "$run/worker/proxy.json")
  progress "  $report"
  row start "from exec to the proxy's first answer, median of 10" ms "$(jq .median_ms <<<"$report")" - 50 "≤ 50 ms"
}
