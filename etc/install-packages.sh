#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing for building, testing and the demo. Does nothing, and needs no
# root, when all are there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config git ca-certificates
  libboost1.81-dev libssl-dev nlohmann-json3-dev libsimdjson-dev libspdlog-dev prometheus-cpp-dev
  liblua5.4-dev libre2-dev libcli11-dev
  libgtest-dev libgmock-dev libvalijson-dev
  clang-format
  curl jq procps
)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "Installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "cannot install packages: neither root nor sudo; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
