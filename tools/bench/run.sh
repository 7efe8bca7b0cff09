#!/usr/bin/env bash
# Measures a model beside Asteroid on PyTorch and compares with the last run in docs/benchmarks.md: one table, 10 minutes.
# Status 1: a row is worse than it was. The last run is replaced by hand, with the table that this prints.
set -euo pipefail

models=dprnn-k16  # of tools/bench/against_asteroid.py, separated by spaces
rounds=3          # of ours, theirs
lengths=20        # to separate, compiling included
only=             # train or infer; empty: both

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
. "$ROOT/tools/parse_options.sh"

"$ROOT/tools/bench/setup_asteroid.sh" >&2
read -ra named <<<"$models"
exec "$ROOT/tools/venv/bin/python" "$ROOT/tools/bench/against_asteroid.py" --models "${named[@]}" --rounds "$rounds" \
    --lengths "$lengths" ${only:+--only "$only"} --last "$ROOT/docs/benchmarks.md"
