#!/usr/bin/env bash
# Makes the mini corpus (voices of eSpeak NG reading generated sentences) and mixes it: data/{train,dev,test}.
set -euo pipefail

data=data            # folder of the data directories; the corpus goes to its folder corpus
nj=2                 # processes (1-1024)
sample_rate=8000     # Hz (1000-192000)
num_spks=2           # sources a mixture (2-5)
n_train=800          # mixtures to train on (1-10000000)
n_dev=40             # mixtures to validate on (1-10000000)
n_test=60            # mixtures to score (1-10000000)
utts_per_speaker=30  # utterances of 3-6 s each voice reads (1-10000)
seed=0               # of the sentences and the mixtures (0-2147483647)
debug=false          # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi

run_command python -m mindaudio_ext.bin.make_mini_corpus --out "$data/corpus" --sample_rate "$sample_rate" \
    --utts_per_speaker "$utts_per_speaker" --seed "$seed" --nj "$nj" "${debug_flag[@]}"

for part in "train $n_train" "dev $n_dev" "test $n_test"; do
    read -r name count <<<"$part"
    run_command python -m mindaudio_ext.bin.make_mixtures --librispeech "$data/corpus/LibriSpeech" --subsets "$name" --data "$data" \
        --corpus "voices of eSpeak NG, $name" \
        --set "$name" --n_mixtures "$count" --num_spks "$num_spks" --sample_rate "$sample_rate" --seed "$seed" \
        --nj "$nj" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --nj "$nj" "${debug_flag[@]}"
done
