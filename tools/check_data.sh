#!/usr/bin/env bash
# The doctor of a data directory: tools/check_data.sh DIR. Reads every signal; says what is in the set (hours, lengths, sexes,
# a histogram of the SNR in DIR/../check) and everything that is wrong: what tools/validate_data_dir.sh finds, silence, the same
# sound twice, and, of a full published test set of LibriMix, scores of the mixtures other than the known ones.
set -euo pipefail

nj=2               # processes (1-1024)
force=false        # accept scores that are not the known ones
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
run_command python -m mindaudio_ext.bin.check_data "$1" --nj "$nj" --force "$force" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
