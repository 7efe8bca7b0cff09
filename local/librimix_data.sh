#!/usr/bin/env bash
# Makes LibriMix's data directories, from a tree of wavs (--librimix) or from LibriSpeech (--librispeech): data/<set>.
# corpus: librimix
set -euo pipefail

data=data                   # folder of the data directories
nj=2                        # processes (1-1024)
sample_rate=8000            # Hz, 8000 or 16000
num_spks=2                  # sources that are separated (1-5)
librimix=                   # LibriMix as its own scripts leave it: the folder that holds Libri2Mix or Libri3Mix
librispeech=                # or LibriSpeech, at 16 kHz; the mixtures are then made from it
wham=                       # folder wham_noise; needed with --librispeech for mix_both and mix_single only
metadata=                   # folder of LibriMix's metadata, for --librispeech; fetched by git when empty
wavs=                       # folder the mixtures that are made go to; data/librimix when empty
write_wavs=true             # false: sets not named test... get no wavs; stage 1 mixes them straight into MindRecord
sets="train-100 dev test"   # the sets, separated by spaces; also train-360
mode=min                    # length of a mixture: min, of the shortest source, or max
mix_type=mix_clean          # mix_clean, mix_both (with noise) or mix_single (one source and noise)
n_src=                      # 2 or 3: Libri2Mix or Libri3Mix; num_spks when empty, and 2 for mix_single
debug=false                 # show the traceback of an error

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"
. "$ROOT/tools/common.sh"

if [[ -z $librimix && -z $librispeech ]]; then
    die "--librimix DIR, a tree of wavs, or --librispeech DIR is needed" 2
fi
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi
if [[ -z $n_src ]]; then
    n_src=$num_spks
    if [[ $mix_type == mix_single ]]; then n_src=2; fi
fi

run_command python -m mindaudio_ext.bin.librimix_data --data "$data" --sets "$sets" --librimix "$librimix" \
    --librispeech "$librispeech" --wham "$wham" --metadata "$metadata" --out "$wavs" --write_wavs "$write_wavs" \
    --n_src "$n_src" --sample_rate "$sample_rate" --mode "$mode" --mix_type "$mix_type" --nj "$nj" "${debug_flag[@]}"
for name in $sets; do
    # What is mixed in stage 1 is checked there.
    no_audio=false
    if [[ -e $data/$name/mix.csv ]]; then no_audio=true; fi
    run_command python -m mindaudio_ext.bin.validate_data_dir "$data/$name" --no_audio "$no_audio" --nj "$nj" \
        "${debug_flag[@]}"
done
