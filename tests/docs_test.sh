#!/usr/bin/env bash
# The tests that docs/security.md names exist, in files that are built; no threat stands there without
# one, and each limit of docs/operations.md stands there.
set -euo pipefail
cd "$(dirname "$0")/.."

page=${1:-docs/security.md}
operations=${2:-docs/operations.md}
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

# The limits of the operations page, and those that rows here show, a line each; "; " parts them.
limits() {
  sed -n '/^## Limits/,/^## Figures/p' "$operations" | grep '^| ' | grep -v '^| limit |\|^| \*\*' |
    sed 's/^| //; s/ |.*//'
}
shown() {
  sed -n '/^## Limits/,/^## The service/p' "$page" | grep '^| ' | sed 's/^| //; s/ |.*//; s/; /\n/g'
}
while read -r limit; do
  shown | grep -Fx -- "$limit" >/dev/null || complain "no row for the limit of $operations: $limit"
done < <(limits)
[ "$(limits | wc -l)" -gt 50 ] || complain "where are the limits of $operations?"

[ "$(named | wc -l)" -gt 100 ] || complain "where are the tables?"
exit $failed
