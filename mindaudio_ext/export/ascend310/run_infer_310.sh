#!/usr/bin/env bash
# Runs an exported graph over a test set, on an Ascend 310 or without one, and scores what it separates:
#   run_infer_310.sh [MINDIR_PATH] [TEST_PATH] [NEED_PREPROCESS] [--backend lite|lite_python|host|numpy|checkpoint] ...
# --help lists all options. PYTHON names the interpreter; by default it is the one that stage 5 ran with, or else python3.
set -euo pipefail

python_of_stage_5=
package_of_stage_5=

kit=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$python_of_stage_5}
if ! type -P "${python:-none}" >/dev/null; then python=python3; fi
if [[ -d $package_of_stage_5 ]]; then export PYTHONPATH="$package_of_stage_5${PYTHONPATH:+:$PYTHONPATH}"; fi
export PYTHONIOENCODING=UTF-8
exec "$python" -m mindaudio_ext.bin.infer_310 --kit "$kit" "$@"
