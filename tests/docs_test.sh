#!/usr/bin/env bash
# The tests that docs/security.md names exist, in files that are built, and no threat or limit stands
# there without one.
set -euo pipefail
cd "$(dirname "$0")/.."

page=${1:-docs/security.md}
failed=0
complain() { echo "$page: $*"; failed=1; }

# A file of tests on one line, as the compiler joins its strings.
flat() { tr '\n' ' ' <"$1" | sed 's/" *"//g; s/TEST_CASE( */TEST_CASE(/g'; }

# The rows of the tables whose last column names tests.
rows() {
  sed -n '/^## Who might try what/,/^## Not defended/p; /^## Limits/,/^## The service/p' "$page" |
    grep '^| ' | grep -v '^| \(tries to\|does\|limit\) |'
}

# A file and a name a line; the file alone where no name follows it.
named() {
  rows | grep -o '`tests/[a-z0-9_/.]*`\|"[^"]*"' |
    awk '/^`/ { file = substr($0, 2, length($0) - 2); print file "\t"; next }
         { print file "\t" substr($0, 2, length($0) - 2) }'
}

while IFS=$'\t' read -r file name; do
  if [ ! -e "$file" ]; then
    complain "there is no $file"
  elif [ -n "$name" ]; then
    flat "$file" | grep -F "TEST_CASE(\"$name\"" >/dev/null || complain "$file has no test \"$name\""
  else
    grep -q "$(basename "$file")" "$(dirname "$file")/CMakeLists.txt" || complain "$file is not built"
  fi
done < <(named)

while read -r row; do complain "no test in: $row"; done < <(rows | grep -v '`tests/\|(#limits)')

[ "$(named | wc -l)" -gt 100 ] || complain "where are the tables?"
exit $failed
