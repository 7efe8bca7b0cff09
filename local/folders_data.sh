#!/usr/bin/env bash
# Makes data/{train,dev,test} of folders of mixtures and of sources, whose files are matched by name. Each set is a folder
# that holds one folder of mixtures and one of each source; --mixtures and --sources say how these are called.
set -euo pipefail

data=data          # folder of the data directories
nj=2               # processes (1-1024)
sample_rate=8000   # Hz, of all files (1000-192000)
num_spks=2         # sources a mixture (1-5)
train=             # folder of the set to train on
dev=               # folder of the set to validate on
test=              # folder of the set to score
mixtures=mix       # folder of the mixtures in each of them, wav or flac
sources="s1 s2"    # folders of the sources, separated by spaces; or one, of files called <mixture>_s1, <mixture>_s2
noise=             # folder of the noises, when the mixtures have some
debug=false        # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
read -r -a names <<<"$sources"

declare -A folders=([train]=$train [dev]=$dev [test]=$test)
made=0
for name in train dev test; do
    folder=${folders[$name]}
    if [[ -z $folder ]]; then continue; fi
    noise_option=()
    if [[ -n $noise ]]; then noise_option=(--noise "$folder/$noise"); fi
    run_command python -m mindaudio_ext.bin.folders_data --mixtures "$folder/$mixtures" \
        --sources "${names[@]/#/$folder/}" "${noise_option[@]}" --data "$data" --set "$name" --num_spks "$num_spks" \
        --sample_rate "$sample_rate" --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --nj "$nj" "${debug_flag[@]}"
    made=$((made + 1))
done
if ((made == 0)); then die "--train DIR, --dev DIR and --test DIR are needed: folders that hold $mixtures, ${names[*]}" 2; fi
