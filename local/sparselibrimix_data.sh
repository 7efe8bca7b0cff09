#!/usr/bin/env bash
# Makes the test sets of SparseLibriMix, of its metadata, and conversations of LibriSpeech to train on: data/<set>.
# corpus: sparselibrimix
set -euo pipefail

data=data                          # folder of the data directories
nj=2                               # processes (1-1024)
sample_rate=8000                   # Hz (1000-192000)
num_spks=2                         # sources of a mixture; there are test sets of 2 and 3 (2-3)
librispeech=                       # LibriSpeech, at 16 kHz: the folder that holds train-clean-100, dev-clean and test-clean
metadata=                          # folder of SparseLibriMix's metadata, which holds sparse_2_0, sparse_2_0.2, ...
wham=                              # folder wham_noise; with it the test sets have noise
overlaps="0 0.2 0.4 0.6 0.8 1"     # the test sets, by their share of overlap, separated by spaces
train_subsets=train-clean-100      # subsets of LibriSpeech to train on, separated by spaces
dev_subsets=dev-clean              # subsets to validate on
n_train=600                        # conversations to train on (1-1000000)
n_dev=30                           # conversations to validate on (1-1000000)
seed=0                             # of the conversations (0-2147483647)
debug=false                        # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

if [[ -z $librispeech ]]; then die "--librispeech DIR is needed: LibriSpeech, at 16 kHz" 2; fi
if [[ -z $metadata ]]; then die "--metadata DIR is needed: the folder metadata of SparseLibriMix" 2; fi
debug_flag=() wham_option=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
if [[ -n $wham ]]; then wham_option=(--wham "$wham/tt"); fi

# make_conversations NAME COUNT SUBSETS: makes a set to train or validate on.
make_conversations() {
    run_command python -m mindaudio_ext.bin.make_conversations --librispeech "$librispeech" --subsets "$3" \
        --data "$data" --set "$1" --n_conversations "$2" --seconds 20 --speakers "$num_spks $num_spks 1" \
        --num_spks "$num_spks" --sample_rate "$sample_rate" --seed "$seed" --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$1" --nj "$nj" "${debug_flag[@]}"
}

make_conversations train "$n_train" "$train_subsets"
make_conversations dev "$n_dev" "$dev_subsets"
read -ra shares <<<"$overlaps"
for share in "${shares[@]}"; do
    name=sparse_${num_spks}_$share
    run_command python -m mindaudio_ext.bin.sparse_librimix_data --metadata "$metadata/$name/metadata.json" \
        --librispeech "$librispeech" "${wham_option[@]}" --data "$data" --set "$name" --num_spks "$num_spks" \
        --sample_rate "$sample_rate" --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --nj "$nj" "${debug_flag[@]}"
done
