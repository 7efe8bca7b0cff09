#!/usr/bin/env bash
# DPRNN on two-speaker mixtures drawn from any folder in LibriSpeech's layout, by LibriMix's rules:
#   egs/mini_librimix/dprnn/run.sh --librispeech DIR
# The options are those of the engine, the root's run.sh, and of local/mini_librimix_data.sh; --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/dprnn.yaml" \
    --data_script local/mini_librimix_data.sh "$@"
