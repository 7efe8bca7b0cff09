#!/usr/bin/env bash
# DPRNN on simulated conversations of two people at most, made of any folder in LibriSpeech's layout; with
# --statistics FILE, a changed copy of statistics.yaml, they are like what it says:
#   egs/mini_librimix/conversation/run.sh --librispeech DIR
# The options are those of the engine, the root's run.sh, and of local/conversation_data.sh; --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/dprnn.yaml" \
    --data_script local/conversation_data.sh "$@"
