#!/usr/bin/env bash
# DPRNN on LibriMix. conf/dprnn.yaml is the published model, conf/dprnn_small.yaml the one for small machines:
#   egs/librimix/dprnn/run.sh --config conf/dprnn_small.yaml
# The options are those of the engine, the root's run.sh, and of local/librimix_data.sh; --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/dprnn.yaml" --data_script local/librimix_data.sh "$@"
