#!/usr/bin/env bash
# systemd_test.sh bridge/…/NAME.service.in WHOSE: the unit is understood, and leaves the service no
# more exposed than docs/security.md says ("WHOSE unit is rated …"). Skipped (77) where there is no
# systemd.
set -euo pipefail
cd "$(dirname "$0")/../.."

source=$1 whose=$2
name=$(basename "$source" .service.in)
command -v systemd-analyze >/dev/null || { echo "no systemd-analyze here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unit=$dir/$name.service
sed 's|@CMAKE_INSTALL_FULL_BINDIR@|/usr/bin|' "$source" >"$unit"

# What systemd doesn't understand it tells, and passes over. (The program isn't installed here.)
complaints=$(systemd-analyze verify --recursive-errors=no "$unit" 2>&1 | grep -v 'is not executable' || true)
if grep -F "$name" <<<"$complaints"; then exit 1; fi

score=$(systemd-analyze security --no-pager --offline=true "$unit" |
  sed -n "s/.*exposure level for $name.service: \([0-9.]*\).*/\1/p")
said=$(sed -n "s/.*$whose unit is rated \([0-9.]*\).*/\1/p" docs/security.md)
echo "exposure level $score; docs/security.md says $said"
awk "BEGIN { exit !(\"$score\" != \"\" && \"$said\" != \"\" && $score <= $said) }"
