#!/usr/bin/env bash
# Makes tools/bench/venv: PyTorch for CPUs and Asteroid's networks, to be compared with.
# Asteroid is installed without what its networks do not use; tools/compare_asteroid.py has stand-ins for it.
set -euo pipefail

python=python3  # the Python to make it with

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
. "$ROOT/tools/parse_options.sh"

venv=$ROOT/tools/bench/venv
if "$venv/bin/python" -c 'import torch, asteroid_filterbanks' 2>/dev/null; then
    echo "$venv is there"
    exit 0
fi
if [[ -e $venv && ! -f $venv/.made_by_setup ]]; then
    echo "$venv is there and was not made by this script; move it away" >&2
    exit 2
fi
rm -rf "$venv"
mkdir "$venv"
: >"$venv/.made_by_setup"
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet torch==2.13.0 numpy==1.26.4 packaging
"$venv/bin/pip" install --quiet --no-deps asteroid==0.7.0 asteroid-filterbanks==0.4.0
echo "made $venv"
