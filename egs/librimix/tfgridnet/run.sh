#!/usr/bin/env bash
# TF-GridNet on LibriMix. The options are those of the engine, the root's run.sh, and of local/librimix_data.sh;
# --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/tfgridnet.yaml" --data_script local/librimix_data.sh "$@"
