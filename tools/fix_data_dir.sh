#!/usr/bin/env bash
# Makes a data directory consistent: tools/fix_data_dir.sh DIR. Sorts its files, drops double lines, keeps the mixtures that
# all files have (wav.scp, spkN.scp, noise1.scp, ...), makes spk2utt anew. What a file was is in DIR/.backup.
set -euo pipefail

debug=false  # show the traceback of an error
# shellcheck disable=SC2034  # parse_options.sh reads it
positional=true

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

one_data_dir "$@"
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
run_command python -m mindaudio_ext.bin.fix_data_dir "$1" "${debug_flag[@]}"
