# Sourced by every script: sets ROOT and the environment; makes tools/venv when it is missing or incomplete.
# shellcheck shell=bash

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
_programs=$(bash "$ROOT/tools/setup.sh" --print) || return $?
export PATH="$_programs:$PATH"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONIOENCODING=UTF-8

# Both sort by bytes, as the keys of a data directory are; not every system has the first.
if [[ $(LC_ALL=C.UTF-8 locale charmap 2>/dev/null) == UTF-8 ]]; then
    export LC_ALL=C.UTF-8
else
    export LC_ALL=C
fi

export GLOG_v=${GLOG_v:-3}  # errors only
# A failed graph compilation leaves files; by default in the current folder.
export MS_OM_PATH=${MS_OM_PATH:-${TMPDIR:-/tmp}/mindspore_$UID}
if ! mkdir -p "$MS_OM_PATH" 2>/dev/null; then
    printf '%s: error: %s\n' "${0##*/}" "$MS_OM_PATH: cannot be made a folder; set MS_OM_PATH or TMPDIR" >&2
    return 2
fi
