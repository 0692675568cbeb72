# Part of proxy.sh and soak.sh: installs, builds, makes keys and bodies, starts our worker and nginx before one
# upstream; at the end everything that was started is ended, and its folder removed.
# Sets: bin, nginx, run, upstream_port, ours_port, nginx_port, supervisor_pid, proxy_pid, nginx_pid.
# shellcheck shell=bash

progress() { printf '%s\n' "$*" >&2; }
fail() {
  progress "${0##*/}: $*"
  exit 1
}

started=() # by pid; our worker ends its upstream, nginx's master its workers
make_run_folder() {
  run=$(mktemp -d)
  trap finish EXIT
  trap 'exit 130' INT TERM
}
finish() {
  for pid in "${started[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$run"
}

readonly worker_url=http://203.0.113.9:41234 # only its text matters: it is what the signatures cover
readonly threads=2                           # of our proxy, and worker processes of nginx

install_missing() {
  etc/install-packages.sh
  local missing=() package
  while read -r package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done <tests/bench/packages.txt
  [ ${#missing[@]} -gt 0 ] || return 0
  progress "installing ${missing[*]}"
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q >/dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    "${missing[@]}" >/dev/null
}

# Unpacked, not installed: the Debian package would start a web server on port 80.
find_nginx() {
  nginx=$(PATH=$PATH:/usr/sbin command -v nginx || true)
  [ -z "$nginx" ] || return 0
  nginx=$build/nginx/usr/sbin/nginx
  [ ! -x "$nginx" ] || return 0
  progress "fetching nginx"
  mkdir -p "$build/nginx"
  (cd "$build/nginx" && apt-get download -q nginx >/dev/null 2>&1 && dpkg-deb -x nginx_*.deb .) ||
    fail "nginx can't be fetched; install it and try again"
}

build_programs() {
  if [ "$build" = build/release ]; then
    cmake --preset release >/dev/null
  fi
  progress "building in $build"
  cmake --build "$build" --target cppworker cppworker-proxy bench_programs >"$run/build.out" ||
    fail "the build failed: $(tail -n 20 "$run/build.out")"
  bin=$(cd "$build/bin" && pwd)
}

make_keys_and_bodies() {
  openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$run/key.pem" 2>/dev/null
  openssl pkey -in "$run/key.pem" -pubout -out "$run/public.pem"
  local sign=("$bin/bench_sign" --key "$run/key.pem" --url "$worker_url")
  "${sign[@]}" --bytes 1700 >"$run/wrapped.json"
  "${sign[@]}" --bytes 2000000 >"$run/large.json"
  "${sign[@]}" --bytes $((20 * 1024 * 1024)) >"$run/huge.json"
}

# A port of loopback on which nobody listens, from $1 on.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

# Waits until the command succeeds, $1 seconds at the most.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    read -rt 0.05 <> <(:) || true
  done
}

# The whole worker, with a backend whose inference server is the upstream of the measurement. /generate has the
# formula of the backend tgi, /generate_plain the plain path that costs nothing to evaluate.
start_worker() {
  local folder=$run/backends/bench formula
  formula=$(jq '.endpoints[0].workload' launchers/tgi/backend.json)
  mkdir -p "$folder"
  upstream_port=$(free_port 15001)
  printf '#!/bin/sh\nexec %q --port "$SERVER_PORT"\n' "$bin/bench_upstream" >"$folder/launch.sh"
  chmod +x "$folder/launch.sh"
  cat >"$folder/backend.json" <<JSON
{ "name": "bench", "server": { "url": "http://127.0.0.1:$upstream_port" }, "launch": { "script": "launch.sh" },
  "health": { "path": "/health" },
  "endpoints": [
    { "method": "POST", "path": "/generate", "workload": $formula },
    { "method": "POST", "path": "/generate_plain", "workload": "payload.parameters.max_new_tokens" },
    { "method": "POST", "path": "/stream", "workload": $formula }
  ] }
JSON
  cat >"$run/cppworker.json" <<JSON
{ "port": 0, "admin_port": 0, "listen_address": "127.0.0.1", "public_url": "$worker_url",
  "public_key": "$run/public.pem", "benchmark": false, "drain_timeout_s": 1, "log_level": "warning",
  "proxy": { "threads": $threads, "max_connections": 100000, "address_share_percent": 0 } }
JSON
  env -i PATH=/usr/bin:/bin "$bin/cppworker" run --backend bench --backends "$run/backends" \
    --config "$run/cppworker.json" --run-dir "$run/worker" >"$run/worker.out" 2>&1 &
  supervisor_pid=$!
  started+=("$supervisor_pid")
  within 10 test -s "$run/worker/addresses.json" || fail "the worker doesn't start: $(cat "$run/worker.out")"
  local admin
  admin=http://127.0.0.1:$(jq .admin_port "$run/worker/addresses.json")
  within 20 curl -sf "$admin/readyz" || fail "the worker doesn't become ready: $(cat "$run/worker.out")"
  ours_port=$(jq .port "$run/worker/addresses.json")
  proxy_pid=$(curl -sf "$admin/status" | jq .proxy.pid)
}

start_nginx() {
  mkdir -p "$run/nginx"
  nginx_port=$(free_port 16001)
  local user=""
  [ "$(id -u)" -ne 0 ] || user="user root;" # its workers must get into the run's folder
  sed -e "s|@USER@|$user|" -e "s|@THREADS@|$threads|" -e "s|@RUN@|$run|" -e "s|@PORT@|$nginx_port|" \
    -e "s|@UPSTREAM@|$upstream_port|" tests/bench/nginx.conf.in >"$run/nginx/nginx.conf"
  "$nginx" -e stderr -p "$run/nginx" -c "$run/nginx/nginx.conf" -g 'daemon off;' >"$run/nginx.out" 2>&1 &
  nginx_pid=$!
  started+=("$nginx_pid")
  within 10 curl -sf "http://127.0.0.1:$nginx_port/health" || fail "nginx doesn't start: $(cat "$run/nginx.out")"
}
