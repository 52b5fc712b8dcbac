#!/usr/bin/env bash
# Runs all tests: `scripts/test.sh`. The tests of add-ons run beside the others, in a process of their own, since they
# add tables to the models; their output is shown at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
output=$(mktemp)
$python -m pytest -q --color=no tests/addons >"$output" 2>&1 &
addons=$!
# Whatever ends this script ends them too
trap 'kill "$addons" 2>/dev/null || true; rm -f "$output"' EXIT
trap 'exit 130' INT TERM

status=0
$python -m pytest -q -n auto --dist loadgroup --ignore=tests/addons || status=$?
echo "== tests/addons"
wait "$addons" || status=$?
cat "$output"
exit "$status"
