# Part of proxy.sh: what is read, and how a figure becomes a row of the table.
# shellcheck shell=bash

port_of() {
  case $1 in
    ours) echo "$ours_port" ;;
    nginx) echo "$nginx_port" ;;
    direct) echo "$upstream_port" ;;
  esac
}

# The processes whose CPU counts: the proxy's, without the supervisor; nginx's workers, without its master.
pids_of() {
  case $1 in
    ours) echo "$proxy_pid" ;;
    nginx) pgrep -P "$nginx_pid" ;;
    direct) ;;
  esac
}

# Nanoseconds that all threads of the processes have run, in user and system mode: what utime + stime of
# /proc/PID/stat say in steps of 10 ms.
cpu_ns() {
  local pid total=0 ran
  for pid in "$@"; do
    while read -r ran _; do total=$((total + ran)); done < <(cat "/proc/$pid"/task/*/schedstat)
  done
  echo "$total"
}

# measured ours|nginx|direct COMMAND…: runs a load, prints its line of JSON and in it the CPU spent meanwhile.
measured() {
  local before after report pids
  mapfile -t pids < <(pids_of "$1")
  shift
  before=$(cpu_ns "${pids[@]}")
  report=$("$@" | tail -n 1)
  after=$(cpu_ns "${pids[@]}")
  jq -c --argjson cpu $((after - before)) '. + {cpu_ns: $cpu}' <<<"$report"
}

# alternate "WHO…" COMMAND…: the load against each in turn, $rounds times, so that a neighbour's noise falls on
# all alike. The command is called with the port. Reports are collected in $run/reports.<who>.
alternate() {
  local who everybody=$1
  shift
  for who in $everybody; do : >"$run/reports.$who"; done
  for ((round = 0; round < rounds; ++round)); do
    for who in $everybody; do
      measured "$who" "$@" "$(port_of "$who")" >>"$run/reports.$who"
      progress "  $who: $(tail -n 1 "$run/reports.$who")"
    done
  done
  # A figure of requests that weren't served is none.
  for who in $everybody; do
    jq -es 'all(.[]; (.not_200 // 0) + (.broken // 0) + (.lost // 0) == 0)' "$run/reports.$who" >/dev/null ||
      fail "$who didn't answer everything: $(tail -n 1 "$run/reports.$who"); $(tail -n 5 "$run/worker.out")"
  done
}

# best WHO least|most EXPRESSION: over the rounds.
best() {
  local pick=min
  [ "$2" = least ] || pick=max
  jq -s "map($3) | $pick" "$run/reports.$1"
}

calculate() { jq -n "$1"; }

# row CASE WHAT UNIT OURS NGINX LIMIT BUDGET: OURS must be at most LIMIT, with "+" before it at least; "-" for
# what isn't there.
row() {
  local at_least=false limit=$6 nginx=$5
  if [[ $limit == +* ]]; then
    at_least=true
    limit=${limit#+}
  fi
  [ "$limit" != - ] || limit=null
  [ "$nginx" != - ] || nginx=null
  jq -cn --arg case "$1" --arg what "$2" --arg unit "$3" --arg budget "$7" --argjson at_least $at_least \
    --argjson ours "$4" --argjson nginx "$nginx" --argjson limit "$limit" '
    def rounded: if . == null then . elif . >= 1000 then round else . * 100 | round / 100 end;
    {case: $case, what: $what, unit: $unit, ours: ($ours | rounded), nginx: ($nginx | rounded),
     ratio: (if $nginx and $nginx > 0 then $ours / $nginx | rounded else null end), budget: $budget,
     met: (if $limit == null then null elif $at_least then $ours >= $limit else $ours <= $limit end)}' \
    >>"$run/rows"
  progress "$(jq -r '"= \(.what): \(.ours) \(.unit), nginx \(.nginx // "-")"' <<<"$(tail -n 1 "$run/rows")")"
}

# Resident KiB of a process: RssAnon + RssFile, or one of the figures of its smaps_rollup.
resident_kib() { awk '/^RssAnon|^RssFile/ {sum += $2} END {print sum}' "/proc/$1/status"; }
anonymous_kib() {
  local pid total=0
  for pid in "$@"; do total=$((total + $(awk '/^RssAnon/ {print $2}' "/proc/$pid/status"))); done
  echo "$total"
}
proportional_kib() { awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup"; }

machine() { printf '%s, %s cores, %s' "$(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo)" "$(nproc)" "$(uname -r)"; }
commit() { git describe --always --dirty --abbrev=10 2>/dev/null || echo unknown; }

print_table() {
  printf '\n%s; commit %s; load average %s\n\n' "$(machine)" "$(commit)" "$(cut -d' ' -f1-3 /proc/loadavg)"
  jq -rs '
    def show: if . == null then "" else tostring end;
    "| what | ours | nginx | ratio | budget | met |", "|---|---|---|---|---|---|",
    (.[] | "| \(.what) | \(.ours) \(.unit) | \(if .nginx == null then "" else "\(.nginx) \(.unit)" end) | " +
      "\(.ratio | show) | \(.budget) | \(if .met == null then "" elif .met then "yes" else "**no**" end) |")' "$run/rows"
}

print_json() {
  jq -s --arg machine "$(machine)" --arg commit "$(commit)" --arg load "$(cat /proc/loadavg)" \
    --arg date "$(date -u +%FT%TZ)" --argjson quick "$quick" \
    '{machine: $machine, commit: $commit, date: $date, load_average: $load, quick: $quick, rows: .}' "$run/rows"
}
