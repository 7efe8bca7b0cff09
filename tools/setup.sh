#!/usr/bin/env bash
# Makes tools/venv with all this project needs, from requirements.txt. Run again, it finishes or updates what is there.
#
#   tools/setup.sh                  with the first Python of 3.10-3.12 that works
#   PYTHON=python3.12 tools/setup.sh
#
# An active environment (venv, conda) that has the pinned mindspore and mindaudio is used as it is, and nothing is
# installed: on Ascend machines MindSpore is installed from the vendor. `--print` also prints the folder of the programs to use.
set -euo pipefail

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/common.sh"
venv=$ROOT/tools/venv
stamp=$venv/.complete  # written last
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

# Only Pythons that can make an environment answer; a launcher that is there and fails does not.
probe='import sys, venv, ensurepip
if not (3, 10) <= sys.version_info[:2] <= (3, 12): sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))
print("%d.%d.%d" % sys.version_info[:3])'

# Sets `python` and `version` from the command NAME; false when it is none of the Pythons wanted.
try_python() {
    local answer
    mapfile -t answer < <("$1" -c "$probe" 2>/dev/null)
    python=${answer[0]-} version=${answer[1]-}
    [[ -n $version ]]
}

find_python() {
    local name
    if [[ -n ${PYTHON-} ]]; then
        try_python "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.10, 3.11 or 3.12 with venv and ensurepip" 2
        return
    fi
    for name in python3.11 python3.12 python3.10 python3 python; do
        if try_python "$name"; then return; fi
    done
    die "no Python 3.10, 3.11 or 3.12 with venv found: install one, or name it with PYTHON=/path/to/python" 2
}

# What a complete environment was made from: its place, its Python, the pins.
wanted_stamp() {
    printf '%s\npython %s\n' "$ROOT" "$1"
    cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" | cksum
}

# True when tools/venv is complete and, where PYTHON asks for one, of that version.
is_complete() {
    local made=''
    if ! [[ -f $stamp && -x $venv/bin/python && -x $venv/bin/mindaudio-separate ]]; then return 1; fi
    made=$(sed -n '2s/^python //p' "$stamp")
    if [[ -n ${PYTHON-} && $made != "$version" ]]; then return 1; fi
    [[ $(<"$stamp") == "$(wanted_stamp "$made")" ]] && "$venv/bin/python" -c '' 2>/dev/null
}

# Prints which direct dependencies the active environment lacks, or nothing; false when it does not have the pinned
# MindSpore and MindAudio. Other versions and what those need are its owner's business, the checks are tools/test.sh's.
check_active() {
    "$1" - "$ROOT/requirements.txt" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version

missing = []
for line in open(sys.argv[1], encoding="utf-8"):
    if line.startswith("# Direct: checks"):
        break
    if line.startswith("#") or not line.strip():
        continue
    name, pin = line.split("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    if name in ("mindspore", "mindaudio") and found != pin.strip():
        sys.exit(1)
    if found is None:
        missing.append(name)
print(" ".join(missing))
PYTHON
}

# Uses the active environment and exits, when it has the pinned versions.
use_active() {
    local folder missing
    for folder in "${VIRTUAL_ENV-}" "${CONDA_PREFIX-}"; do
        if [[ -z $folder || $folder -ef $venv || ! -x $folder/bin/python ]]; then continue; fi
        missing=$(check_active "$folder/bin/python" 2>/dev/null) || continue
        if [[ -n $missing ]]; then
            die "the active environment $folder has mindspore and mindaudio, but not: $missing (pip install --no-deps them)" 2
        fi
        finish "$folder" "using the active environment $folder"
    done
}

finish() {
    if [[ $print == true ]]; then printf '%s\n' "$1/bin"; else log "$2"; fi
    exit 0
}

# pip_install WHAT...: quiet; on failure shows the end of what pip said.
pip_install() {
    if run_command "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation "$@" >"$venv/setup.log" 2>&1; then
        return
    fi
    tail -n 15 "$venv/setup.log" >&2
    die "pip could not install $1; run tools/setup.sh again when the cause is gone"
}

make_venv() {
    local started=$SECONDS
    if ! [[ -f $stamp && $(head -n 2 "$stamp") == "$(wanted_stamp "$version" | head -n 2)" ]]; then
        empty_environment "$venv" "activate it, or move it away"
        log "making tools/venv with Python $version: about 1 GB to download, 3 GB on disk, some minutes"
        run_command "$python" -m venv "$venv" || die "$python -m venv failed"
    else
        log "updating tools/venv"
        rm -f "$stamp"
    fi
    pip_install "$(grep '^setuptools==' "$ROOT/requirements.txt")"
    log "installing the packages of requirements.txt"
    pip_install -r "$ROOT/requirements.txt"
    pip_install -e "$ROOT"
    "$venv/bin/python" -m pip check >"$venv/setup.log" 2>&1 || die "$(tail -n 1 "$venv/setup.log")"
    wanted_stamp "$version" >"$stamp.tmp"
    mv "$stamp.tmp" "$stamp"
    log "tools/venv is complete ($(duration $((SECONDS - started))))"
}

case ${1-} in
    '') print=false ;;
    --print) print=true ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
    *) die "unknown option $1: tools/setup.sh takes --print and --help" 2 ;;
esac
if [[ -n ${PYTHON-} ]]; then find_python; else use_active; fi
if is_complete; then finish "$venv" "tools/venv is complete"; fi
if [[ -z ${PYTHON-} ]]; then find_python; fi
# Two at once: the second waits, and finds it done. The lock is the folder itself, which leaves no file behind.
if type -P flock >/dev/null; then
    exec 9<"$ROOT/tools"
    flock -n 9 || { log "another set-up is running: waiting for it" >&2 && flock 9; }
fi
if ! is_complete; then make_venv >&2; fi
finish "$venv" "tools/venv/bin/mindaudio-separate is ready"
