#!/usr/bin/env bash
# DPRNN on WSJ0-2mix, or on WHAM! with --mix_type mix_clean or mix_both:
#   egs/wsj0_2mix/dprnn/run.sh --wsj0_mix DIR
# The options are those of the engine, the root's run.sh, and of local/wsj0_2mix_data.sh; --help lists both.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../../../run.sh" --recipe "$here" --config "$here/conf/dprnn.yaml" --data_script local/wsj0_2mix_data.sh "$@"
