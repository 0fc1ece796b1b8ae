#!/usr/bin/env bash
# Makes sure that programs are there: `require.sh luajit node:nodejs` installs what is missing from
# the Debian package of its name, or of the name behind the colon, or says what to install.
set -euo pipefail

missing=()
for entry in "$@"; do
  command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; please install them and try again" >&2
  exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
