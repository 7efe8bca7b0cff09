#!/usr/bin/env bash
# Builds the sdist and the wheel into dist/, checks them, and tries the wheel as a new user would: in a new venv and an
# empty folder, from `pip install` to the two voices of 3 s of noise. Fetches from PyPI, about 1 GB when nothing is cached.
#
#   tools/package.sh
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/common.sh"
if [[ ${1-} == -h || ${1-} == --help ]]; then sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0; fi
if (($#)); then die "takes nothing but --help, got '$1'" 2; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

log "building"
run_command "${PYTHON:-python3}" -m venv "$work/build"
run_command "$work/build/bin/pip" install --quiet build twine
unset PYTHONPATH PYTHONHOME  # the wheel is tried, not the repository
cd "$root"
run_command "$work/build/bin/python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || die "$(tail -n 3 "$work/build.log")"
run_command "$work/build/bin/twine" check --strict "$work"/dist/*
mkdir -p dist
cp "$work"/dist/* dist/
wheel=$(realpath "$work"/dist/*.whl)
log "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"

log "a new venv, an empty folder"
mkdir "$work/empty"
cd "$work/empty"
run_command "${PYTHON:-python3}" -m venv "$work/user"
started=$SECONDS
run_command "$work/user/bin/pip" install --quiet "$wheel"
log "pip install took $((SECONDS - started)) s"
make_noise='import numpy, soundfile; soundfile.write("mix.wav", numpy.random.default_rng(0).standard_normal(24000) / 10, 8000)'
run_command "$work/user/bin/python" -c "$make_noise"
said=$("$work/user/bin/mindaudio-separate" mix.wav 2>&1) || die "mindaudio-separate failed: $said"
printf '%s\n' "$said"
if [[ $said != mix.wav:* || $said == *$'\n'* ]]; then die "mindaudio-separate said more than its line, see above"; fi
log "from pip install to the voices: $((SECONDS - started)) s"
extras=$(sed -n '/^\[project.optional-dependencies\]/,/^\[project.scripts\]/s/^\([a-z]*\) = \[.*/\1/p' "$root/pyproject.toml" | paste -sd,)
run_command "$work/user/bin/pip" install --quiet --dry-run "${wheel}[$extras]"
log "the extras $extras can be installed"
