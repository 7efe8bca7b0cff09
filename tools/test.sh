#!/usr/bin/env bash
# All checks: ruff, mypy, shellcheck, the site of docs/, the tests, and the mini recipe cut down to run every stage.
#
#   tools/test.sh           all of it
#   tools/test.sh --quick   without the mini recipe and the tests marked slow
#   tools/test.sh --all     also the slow tests; a missing prerequisite is a failure, not a skip
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/common.sh"
quick=false all=false
for argument; do
    case $argument in
        --quick) quick=true ;;
        --all) all=true ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
        *) die "unknown option $argument: tools/test.sh takes --quick, --all and --help" 2 ;;
    esac
done
if [[ $quick == true && $all == true ]]; then die "--quick and --all exclude each other" 2; fi

. "$root/path.sh"
cd "$root"
for program in ruff mypy pytest; do
    if ! type -P "$program" >/dev/null; then die "the active environment lacks $program: pip install it, or deactivate" 2; fi
done
started=$SECONDS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
not_run=()

# The mini recipe in a folder of its own: a user's data/ and exp/ stay as they are.
run_mini() {
    local scratch="$work/mini recipe" file
    mkdir "$scratch"
    run_command ./run.sh --recipe "$scratch" --config conf/mini.yaml --train_args "epochs=1" \
        --n_train 24 --n_dev 4 --n_test 4 --utts_per_speaker 3 || die "the mini recipe failed"
    for file in RESULTS.md scores_test.csv checkpoints/best.ckpt export/manifest.json; do
        if ! [[ -s $scratch/exp/mini/$file ]]; then die "the mini recipe did not make exp/mini/$file"; fi
    done
    run_command bash "$scratch/exp/mini/export/run_infer_310.sh" "$scratch/exp/mini/export/mini_2s_host.mindir" \
        "$scratch/data/test" y --backend host || die "the 310 kit failed"
}

log "ruff"
ruff check .
ruff format --check .

log "mypy"
mypy

log "shellcheck"
if type -P shellcheck >/dev/null; then
    git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | xargs -0 shellcheck -x
elif [[ $all == true ]]; then
    die "shellcheck is missing"
else
    not_run+=("shellcheck (needs shellcheck)")
fi

log "documents"
status=0
tools/docs.sh || status=$?
if ((status == 3)) && [[ $all == false ]]; then
    not_run+=("tools/docs.sh (needs the extra docs, or a network to make tools/docs_venv)")
elif ((status)); then
    die "tools/docs.sh failed"
fi

log "pytest"
workers=$(python -c 'import os; print(min(4, os.cpu_count() or 1))')  # each takes up to 4 GB
pytest_options=(-n "$workers" --dist loadfile --doctest-modules tests mindaudio_ext)
if [[ $all == true ]]; then pytest_options+=(--all-required); fi
if [[ $quick == true ]]; then pytest_options+=(-m "not slow"); fi
python -m pytest "${pytest_options[@]}" 2>&1 | tee "$work/pytest.log" || die "pytest failed"

if [[ $quick == false ]]; then
    log "the mini recipe, every stage"
    run_mini
fi

for check in "${not_run[@]}"; do printf 'NOT RUN: %s\n' "$check"; done
log "all checks passed in $(duration $((SECONDS - started)))"
tail -n 1 "$work/pytest.log"
