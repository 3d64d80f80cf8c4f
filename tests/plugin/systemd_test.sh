#!/usr/bin/env bash
# The drop-in of mosquitto.service is understood, and leaves the service no more exposed than
# docs/security.md says. Skipped (77) where there is no systemd or no unit of Debian's.
set -euo pipefail
cd "$(dirname "$0")/../.."

unit=/lib/systemd/system/mosquitto.service
if [ ! -e $unit ] || ! command -v systemd-analyze >/dev/null; then
  echo "no $unit or no systemd-analyze here"
  exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/mosquitto.service.d"
cp $unit "$dir"
cp plugin/systemd/parley.conf "$dir/mosquitto.service.d/"

# What systemd doesn't understand it tells, and passes over.
complaints=$(systemd-analyze verify --recursive-errors=no "$dir/mosquitto.service" 2>&1 || true)
if grep -F parley.conf <<<"$complaints"; then exit 1; fi

score=$(systemd-analyze security --no-pager --offline=true "$dir/mosquitto.service" |
  sed -n 's/.*exposure level for mosquitto.service: \([0-9.]*\).*/\1/p')
said=$(sed -n 's/.*exposure level of \([0-9.]*\).*/\1/p' docs/security.md)
echo "exposure level $score; docs/security.md says $said"
awk "BEGIN { exit !(\"$score\" != \"\" && \"$said\" != \"\" && $score <= $said) }"
