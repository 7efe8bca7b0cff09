#!/usr/bin/env bash
# Makes tools/lite: MindSpore Lite with the Python 3.7 that its wheel is for. With it the 310 kit runs on this CPU through
# the real library (--backend lite --device cpu), and `pytest -m lite` tries it. Optional; Linux on x86_64.
#
#   tools/setup_lite.sh                   with python3.7 from PATH, or pyenv's
#   PYTHON37=/path/to/python3.7 tools/setup_lite.sh
#
# It also puts the package onnx into tools/venv, where there is that: ONNX is the other way to a device.
set -euo pipefail

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/common.sh"
lite=$ROOT/tools/lite
stamp=$lite/.complete  # written last
packages=(mindspore-lite==2.0.0 numpy==1.21.6)  # the last NumPy of Python 3.7
onnx_packages=(onnx==1.23.2 ml_dtypes==0.5.4)   # ml_dtypes 0.6 wants NumPy 2
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

# Sets `python` to the first Python 3.7 that can make an environment; pyenv's command of that name is a shim, which works
# only where its version is chosen.
find_python37() {
    local candidate candidates=(python3.7)
    if [[ -n ${PYTHON37-} ]]; then candidates=("$PYTHON37"); fi
    if [[ -z ${PYTHON37-} ]] && type -P pyenv >/dev/null; then
        for candidate in $(pyenv whence python3.7 2>/dev/null); do
            candidates+=("$(pyenv prefix "$candidate")/bin/python3.7")
        done
    fi
    for python in "${candidates[@]}"; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 7))' 2>/dev/null; then return; fi
    done
    die "no Python 3.7 found, the only one with a wheel of MindSpore Lite: install one, or name it with PYTHON37=/path/to/python3.7" 2
}

# pip_install PYTHON PACKAGE...: quiet; on failure shows the end of what pip said.
pip_install() {
    if run_command "$1" -m pip install --quiet --no-deps "${@:2}" >"$lite/setup.log" 2>&1; then return; fi
    tail -n 15 "$lite/setup.log" >&2
    die "pip could not install ${*:2}; run tools/setup_lite.sh again when the cause is gone"
}

# CMake and the kit look for runtime/include and runtime/lib, as MindSpore Lite's package has them.
make_lite() {
    local site
    empty_environment "$lite" "move it away"
    log "making tools/lite: 170 MB to download, 500 MB on disk"
    run_command "$python" -m venv "$lite" || die "$python -m venv failed"
    pip_install "$lite/bin/python" "${packages[@]}"
    site=$("$lite/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -s "${site#"$lite/"}/mindspore_lite" "$lite/runtime"
    "$lite/bin/python" -c 'import mindspore_lite' 2>"$lite/setup.log" || die "$(tail -n 1 "$lite/setup.log")"
}

case ${1-} in
    '') ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
    *) die "unknown option $1: tools/setup_lite.sh takes --help" 2 ;;
esac
if [[ $(uname -sm) != "Linux x86_64" ]]; then die "MindSpore Lite's wheel is for Linux on x86_64, this is $(uname -sm)" 2; fi
wanted=$(printf '%s\n' "$ROOT" "${packages[@]}")
if ! [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    find_python37
    make_lite
    printf '%s\n' "$wanted" >"$stamp.tmp"
    mv "$stamp.tmp" "$stamp"
fi
if [[ -x $ROOT/tools/venv/bin/python ]] && ! "$ROOT/tools/venv/bin/python" -c 'import onnx' 2>/dev/null; then
    pip_install "$ROOT/tools/venv/bin/python" "${onnx_packages[@]}"
fi
log "tools/lite is complete: $lite"
