#!/usr/bin/env bash
# The gateway's unit is understood, and leaves it no more exposed than docs/security.md says. Skipped
# (77) where there is no systemd.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v systemd-analyze >/dev/null || { echo "no systemd-analyze here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unit=$dir/parley-gateway.service
sed 's|@CMAKE_INSTALL_FULL_BINDIR@|/usr/bin|' bridge/gateway/parley-gateway.service.in >"$unit"

# What systemd doesn't understand it tells, and passes over. (The program isn't installed here.)
complaints=$(systemd-analyze verify --recursive-errors=no "$unit" 2>&1 | grep -v 'is not executable' || true)
if grep -F parley-gateway <<<"$complaints"; then exit 1; fi

score=$(systemd-analyze security --no-pager --offline=true "$unit" |
  sed -n 's/.*exposure level for parley-gateway.service: \([0-9.]*\).*/\1/p')
said=$(sed -n "s/.*gateway's unit is rated \([0-9.]*\).*/\1/p" docs/security.md)
echo "exposure level $score; docs/security.md says $said"
awk "BEGIN { exit !(\"$score\" != \"\" && \"$said\" != \"\" && $score <= $said) }"
