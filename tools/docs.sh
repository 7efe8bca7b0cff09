#!/usr/bin/env bash
# Builds the site of docs/ in build/site. A dead link, a page without its counterpart in the other language, a key without a
# meaning, or a table of keys that is not what the code says, is an error.
#
#   tools/docs.sh           builds it
#   tools/docs.sh --serve   shows it on http://127.0.0.1:8000, and shows changes as they are made
#
# MkDocs is the active environment's when that has the extra `docs` (pip install ".[docs]"). Otherwise it is that of
# tools/docs_venv, which is made with what pyproject.toml pins; when it cannot be made, the exit status is 3.
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/common.sh"
serve=false
for argument; do
    case $argument in
        --serve) serve=true ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
        *) die "unknown option $argument: tools/docs.sh takes --serve and --help" 2 ;;
    esac
done
. "$root/path.sh"
cd "$root"
venv=$root/tools/docs_venv
export NO_MKDOCS_2_WARNING=1

# What the extra `docs` pins, a line each.
pins() {
    sed -n '/^docs = \[/,/^\]/s/^ *"\([^"]*\)".*/\1/p' pyproject.toml
}

# True when a Python has exactly that.
has_pins() {
    local wanted
    mapfile -t wanted < <(pins)
    "$1" - "${wanted[@]}" 2>/dev/null <<'PYTHON'
import re, sys
from importlib.metadata import version

for pin in sys.argv[1:]:
    name, wanted = re.sub(r"\[.*?\]", "", pin).split("==")
    if version(name) != wanted:
        sys.exit(1)
PYTHON
}

python -m mindaudio_ext.config.reference --check || exit 2
python=python
if ! has_pins python; then
    python=$venv/bin/python
    if ! has_pins "$python"; then
        log "making tools/docs_venv"
        mapfile -t wanted < <(pins)
        if ! (unset PYTHONPATH && python -m venv --clear "$venv" && "$python" -m pip install -q "${wanted[@]}") >&2; then
            die "tools/docs_venv could not be made: see above" 3
        fi
    fi
fi
if [[ $serve == true ]]; then exec "$python" -m mkdocs serve --strict --dev-addr 127.0.0.1:8000; fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
if ! "$python" -m mkdocs build --strict >"$said" 2>&1; then  # --quiet would hide warnings from --strict
    grep -vE '^(INFO|DEBUG) |refix dict|^Loading model|^$' "$said" | awk '!seen[$0]++' >&2  # jieba says what it loads
    die "the site was not built: see above" 2
fi
log "the site is build/site/index.html"
