#!/usr/bin/env bash
# Mixes speech in LibriSpeech's layout by LibriMix's rules: data/{train,dev,test}.
# corpus: librispeech
set -euo pipefail

data=data                      # folder of the data directories
nj=2                           # processes (1-1024)
sample_rate=8000               # Hz; speech at other rates is resampled (1000-192000)
num_spks=2                     # sources a mixture (2-5)
librispeech=                   # folder in LibriSpeech's layout, flac, wav, ogg, opus or mp3: <subset>/<speaker>/<chapter>/<utterance>.flac
train_subsets=train-clean-100  # its subsets to train on, separated by spaces
dev_subsets=dev-clean          # subsets to validate on
test_subsets=test-clean        # subsets to score
split_speakers=false           # instead, divide the speakers of all subsets: 10 % each for dev and test
n_train=3000                   # mixtures to train on (1-10000000)
n_dev=150                      # mixtures to validate on (1-10000000)
n_test=300                     # mixtures to score (1-10000000)
seed=0                         # of the mixtures (0-2147483647)
debug=false                    # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

if [[ -z $librispeech ]]; then die "--librispeech DIR is needed: a folder in LibriSpeech's layout" 2; fi
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi

for part in "train $n_train $train_subsets" "dev $n_dev $dev_subsets" "test $n_test $test_subsets"; do
    read -r name count subsets <<<"$part"
    if [[ $split_speakers == true ]]; then subsets=''; fi
    run_command python -m mindaudio_ext.bin.make_mixtures --librispeech "$librispeech" --subsets "$subsets" \
        --split_speakers "$split_speakers" --data "$data" --set "$name" --n_mixtures "$count" --num_spks "$num_spks" \
        --sample_rate "$sample_rate" --seed "$seed" --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --nj "$nj" "${debug_flag[@]}"
done
