#!/usr/bin/env bash
# Makes data directories of a WSJ0-2mix or WHAM! tree as their own scripts leave it: data/{tr,cv,tt}.
# corpus: wsj0_mix
set -euo pipefail

data=data          # folder of the data directories
nj=2               # processes (1-1024)
sample_rate=8000   # Hz, 8000 or 16000
num_spks=2         # sources that are separated (1-5)
wsj0_mix=          # the folder that holds wav8k/min/{tr,cv,tt}; or 2speakers, which holds it
sets="tr cv tt"    # the sets, separated by spaces
mode=min           # min or max
mix_type=mix       # mix for WSJ0-2mix; mix_clean, mix_both or mix_single for WHAM!
debug=false        # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

if [[ -z $wsj0_mix ]]; then die "--wsj0_mix DIR is needed: the folder that holds wav8k/min/{tr,cv,tt}" 2; fi
case $mix_type in
    mix | mix_clean | mix_both) named=$num_spks noise=false ;;
    mix_single) named=2 noise=true ;;
    *) die "--mix_type must be mix, mix_clean, mix_both or mix_single, not '$mix_type'" 2 ;;
esac
if [[ $mix_type == mix_both ]]; then noise=true; fi
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
place=wav$((sample_rate / 1000))k/$mode
root=$wsj0_mix
if [[ ! -d $root/$place ]]; then root=$wsj0_mix/${named}speakers; fi
if [[ ! -d $root/$place ]]; then die "$wsj0_mix/$place: no such folder, nor is it in ${named}speakers" 2; fi

for name in $sets; do
    folder=$root/$place/$name
    sources=()
    for ((i = 1; i <= num_spks; i++)); do sources+=("$folder/s$i"); done
    noise_option=()
    if [[ $noise == true ]]; then noise_option=(--noise "$folder/noise"); fi
    run_command python -m mindaudio_ext.bin.folders_data --mixtures "$folder/$mix_type" --sources "${sources[@]}" \
        "${noise_option[@]}" --data "$data" --set "$name" --num_spks "$num_spks" --sample_rate "$sample_rate" \
        --corpus "WSJ0-${named}mix $name, $mix_type, $((sample_rate / 1000))k, $mode" --speakers wsj0 --named "$named" \
        --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --nj "$nj" "${debug_flag[@]}"
done
