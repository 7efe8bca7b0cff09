#!/usr/bin/env bash
# Checks a data directory: tools/validate_data_dir.sh DIR [--no_audio true] [--nj 2]. Names the first thing wrong.
set -euo pipefail

no_audio=false     # do not read the signals
nj=2               # processes that read (1-1024)
allow_pipes=false  # run the commands that scp files hold: "flac -dc x.flac |"
debug=false        # show the traceback of an error
# shellcheck disable=SC2034  # parse_options.sh reads it
positional=true

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

one_data_dir "$@"
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
run_command python -m mindaudio_ext.bin.validate_data_dir "$1" --no_audio "$no_audio" --nj "$nj" \
    --allow_pipes "$allow_pipes" "${debug_flag[@]}"
