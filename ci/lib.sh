# Sourced by the scripts beside it. Puts a cargo that is new enough on PATH and
# names the directories that they share.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MSRV=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$ROOT/Cargo.toml")

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

# $1 >= $2, as versions
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

cargo_version() { "$1" --version 2>/dev/null | awk '{print $2}'; }

# The user's own toolchain first; else the one that Debian ships for building
# browsers, which is kept current in stable releases (package cargo-web).
find_cargo() {
  local candidate
  for candidate in "$(command -v cargo || true)" /usr/bin/cargo; do
    [ -n "$candidate" ] && at_least "$(cargo_version "$candidate")" "$MSRV" && { echo "$candidate"; return; }
  done
  return 1
}

use_cargo() {
  CARGO=$(find_cargo) || die "no cargo >= $MSRV found: run ci/setup, or install Rust $MSRV or newer (https://rustup.rs)"
  case "$CARGO" in
    /usr/bin/cargo) export PATH="/usr/bin:$PATH" ;;
  esac
}
