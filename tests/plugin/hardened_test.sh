#!/usr/bin/env bash
# hardened_test.sh FILE…: each was built with what docs/security.md says.
set -euo pipefail

failed=0
expect() {  # what, command…
  local what=$1; shift
  "$@" >/dev/null || { echo "$file: $what"; failed=1; }
}

for file in "$@"; do
  headers=$(readelf -W -h -l -d "$file")
  symbols=$(readelf -W --dyn-syms "$file")
  expect "not position-independent" grep -E 'Type: +DYN' <<<"$headers"
  expect "relocations stay writable" grep GNU_RELRO <<<"$headers"
  expect "… and are resolved late" grep -E 'BIND_NOW|Flags:.* NOW' <<<"$headers"
  expect "an executable stack" grep -E 'GNU_STACK .* RW ' <<<"$headers"
  expect "no stack protection" grep __stack_chk_fail <<<"$symbols"
  expect "not fortified" grep -E '__[a-z]+_chk' <<<"$(grep -v __stack_chk_fail <<<"$symbols")"
done
exit $failed
