#!/usr/bin/env bash
# Installs what rust-toolchain.toml names, also where rustup does not do so unasked
# (RUSTUP_AUTO_INSTALL=0), and asks nobody where everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

file=rust-toolchain.toml
# The words of a list in the file.
list() { sed -n "s/^$1 = \[\(.*\)\]/\1/p" "$file" | tr -d '",'; }

if ! command -v rustup >/dev/null; then
  command -v cargo >/dev/null || { echo "rustup is needed: https://rustup.rs" >&2; exit 1; }
  # A toolchain from elsewhere: its owner gives it the targets.
  exit 0
fi

is_complete() {
  local installed target component
  installed=$(rustup target list --installed 2>/dev/null) || return 1
  for target in $(list targets); do grep -qx "$target" <<<"$installed" || return 1; done
  installed=$(rustup component list --installed 2>/dev/null) || return 1
  for component in $(list components); do grep -q "^$component" <<<"$installed" || return 1; done
}

# Before 1.28 `install` wants a name, and any command installs what the file says.
is_complete || rustup toolchain install || rustup show active-toolchain
command -v cc >/dev/null || { echo "a C compiler is needed to link (Debian: gcc libc6-dev)" >&2; exit 1; }
