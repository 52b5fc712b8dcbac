#!/usr/bin/env bash
# Runs all tests: `scripts/test.sh`. The tests of add-ons run beside the others, in a process of their own, since they
# add tables to the models; their output is shown at the end. A few tests that failed get a second try, alone:
# scripts/rerun_failed.py.
set -euo pipefail
cd "$(dirname "$0")/.."

try=(.venv/bin/python scripts/rerun_failed.py)
kept=$(mktemp -d)
"${try[@]}" first "$kept/addons" -q --color=no tests/addons >"$kept/output" 2>&1 &
addons=$!
# Whatever ends this script ends them too
trap 'kill "$addons" 2>/dev/null || true; rm -rf "$kept"' EXIT
trap 'exit 130' INT TERM

status=0
"${try[@]}" first "$kept/all" -q -n auto --dist loadgroup --ignore=tests/addons || true
echo "== tests/addons"
wait "$addons" || true
cat "$kept/output"
for each in all addons; do "${try[@]}" again "$kept/$each" -q || status=1; done
exit "$status"
