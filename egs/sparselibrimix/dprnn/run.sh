#!/usr/bin/env bash
# DPRNN on simulated conversations, scored on SparseLibriMix's test sets of 0 to 100 % overlap:
#   egs/sparselibrimix/dprnn/run.sh --librispeech DIR --metadata SparseLibriMix/metadata
# The options are those of the engine, the root's run.sh, and of local/sparselibrimix_data.sh; --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/dprnn.yaml" \
    --data_script local/sparselibrimix_data.sh "$@"
