#!/usr/bin/env bash
# Makes conversations of speech in LibriSpeech's layout, turns, pauses and overlaps: data/{train,dev,test}.
# corpus: librispeech
set -euo pipefail

data=data                      # folder of the data directories
nj=2                           # processes (1-1024)
sample_rate=8000               # Hz; speech at other rates is resampled (1000-192000)
num_spks=2                     # sources of a conversation (2-5); those of people who are not there are silent
librispeech=                   # folder in LibriSpeech's layout, flac, wav, ogg, opus or mp3: <subset>/<speaker>/<chapter>/<utterance>.flac
train_subsets=train-clean-100  # its subsets to train on, separated by spaces
dev_subsets=dev-clean          # subsets to validate on
test_subsets=test-clean        # subsets to score
split_speakers=false           # instead, divide the speakers of all subsets: 10 % each for dev and test
speakers="2 2 1"               # people in a conversation, 1 to num_spks; the numbers take turns
statistics=                    # YAML of what conversations are to be like: silence, overlap, ...; empty: as statistics.yaml of the recipe says
n_train=600                    # conversations to train on (1-1000000)
train_seconds="20 20"          # their least and greatest length, s; one number for both
n_dev=30                       # conversations to validate on (1-1000000)
dev_seconds="30 30"            # their least and greatest length, s; one number for both
n_test=20                      # conversations to score (1-1000000)
test_seconds="120 240"         # their least and greatest length, s; one number for both
noise=                         # white, pink, brown, babble (of speakers who are not in the conversation), or a folder of noise; empty: none
dev_noise=                     # the same for the set to validate on; noise when empty
test_noise=                    # the same for the set to score; noise when empty
snr="5 20"                     # least and greatest of the speech over the noise, dB; one number for both
rt60=                          # reverberation time of rooms, least and greatest, s; one number for both; empty: no rooms
room_length="5 10"             # of rooms, least and greatest, m
room_width="5 10"              # of rooms, least and greatest, m
room_height="2.5 4"            # of rooms, least and greatest, m
distance="0.7 2"               # from a mouth to the microphone, least and greatest, m
references=reverberant         # what of the sound in a room the sources hold: reverberant, early (the first 50 ms) or anechoic; the rest is in the noise
seed=0                         # of the conversations (0-2147483647)
debug=false                    # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

if [[ -z $librispeech ]]; then die "--librispeech DIR is needed: a folder in LibriSpeech's layout" 2; fi
debug_flag=() statistics_option=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
if [[ -n $statistics ]]; then statistics_option=(--statistics "$statistics"); fi

# make NAME COUNT SECONDS SUBSETS NOISE: makes a set and checks it.
make() {
    local subsets=$4
    if [[ $split_speakers == true ]]; then subsets=''; fi
    run_command python -m mindaudio_ext.bin.make_conversations --librispeech "$librispeech" --subsets "$subsets" \
        --split_speakers "$split_speakers" --data "$data" --set "$1" --n_conversations "$2" --seconds "$3" \
        --speakers "$speakers" --num_spks "$num_spks" --sample_rate "$sample_rate" --seed "$seed" --nj "$nj" \
        --noise "$5" --snr "$snr" --rt60 "$rt60" --room_length "$room_length" --room_width "$room_width" \
        --room_height "$room_height" --distance "$distance" --references "$references" \
        "${statistics_option[@]}" "${debug_flag[@]}"
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$1" --nj "$nj" "${debug_flag[@]}"
}

make train "$n_train" "$train_seconds" "$train_subsets" "$noise"
make dev "$n_dev" "$dev_seconds" "$dev_subsets" "${dev_noise:-$noise}"
make test "$n_test" "$test_seconds" "$test_subsets" "${test_noise:-$noise}"
