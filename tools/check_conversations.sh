#!/usr/bin/env bash
# Shows that simulated conversations come again and are as asked for: makes a set three times, by one, two and three
# processes, compares every byte, and prints what was asked for beside what came out. Status 1 when the bytes differ or
# something is further off than --largest.
#
#   tools/check_conversations.sh --librispeech /path/to/LibriSpeech
set -euo pipefail

librispeech=         # folder in LibriSpeech's layout
subsets=dev-clean    # its subsets, separated by spaces
n=200                # conversations (1-1000000)
seconds="20 20"      # their least and greatest length, s; one number for both
speakers="2 2 1"     # people in a conversation, 1 to num_spks; the numbers take turns
num_spks=2           # sources of a conversation (2-5)
sample_rate=8000     # Hz (1000-192000)
statistics=          # YAML of what conversations are to be like; empty: the defaults
noise=               # as local/conversation_data.sh has it
rt60=                # as local/conversation_data.sh has it
seed=0               # of the conversations (0-2147483647)
largest=3            # per cent that a share or length may be off (1-100)

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/common.sh"
. "$ROOT/tools/parse_options.sh"
. "$ROOT/path.sh"

if [[ -z $librispeech ]]; then die "--librispeech DIR is needed: a folder in LibriSpeech's layout" 2; fi
statistics_option=()
if [[ -n $statistics ]]; then statistics_option=(--statistics "$statistics"); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for nj in 1 2 3; do
    python -m mindaudio_ext.bin.make_conversations --librispeech "$librispeech" --subsets "$subsets" --data "$work/data" \
        --set test --n_conversations "$n" --seconds "$seconds" --speakers "$speakers" --num_spks "$num_spks" \
        --sample_rate "$sample_rate" --seed "$seed" --noise "$noise" --rt60 "$rt60" --nj "$nj" \
        "${statistics_option[@]}" >/dev/null
    (cd "$work/data" && find . -type f ! -name '.lock*' -print0 | sort -z | xargs -0 sha256sum) >"$work/files.$nj"
    if ((nj == 1)); then cp "$work/data/test/statistics.txt" "$work/statistics.txt"; fi
    rm -r "$work/data"
done

cat "$work/statistics.txt"
if ! cmp -s "$work/files.1" "$work/files.2" || ! cmp -s "$work/files.1" "$work/files.3"; then
    die "runs of the same seed differ: $(sort "$work"/files.? | uniq -u | awk '{ print $2 }' | sort -u | head -n 3 | tr '\n' ' ')"
fi
log "3 runs, by 1, 2 and 3 processes: $(wc -l <"$work/files.1") files, the same bytes, sha256 of all $(sha256sum <"$work/files.1" | cut -c 1-12)"
off=$(sed -n 's/^  \([a-z_]*\): .*(\([+-][0-9.]*\) %)$/\1 \2/p' "$work/statistics.txt" |
    awk -v largest="$largest" '$2 > largest || $2 < -largest { printf "%s %s %%, ", $1, $2 }')
if [[ -n $off ]]; then die "further off than $largest %: ${off%, }"; fi
log "all as asked for within $largest %"
