#!/usr/bin/env bash
# Makes the folder of a new recipe, egs/<corpus>/<model>, with all it needs to be filled in:
#   tools/new_recipe.sh wsj0mix dprnn
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # read by parse_options.sh
positional=true
separator=dprnn      # registered name of the separator
egs="$root/egs"      # where recipes are
. "$root/tools/common.sh"
. "$root/tools/parse_options.sh"

if (($# != 2)); then die "usage: tools/new_recipe.sh CORPUS MODEL" 2; fi
corpus=$1 model=$2
for name in "$corpus" "$model" "$separator"; do
    if ! [[ $name =~ ^[a-z][a-z0-9_]{0,63}$ ]]; then
        die "'$name': names are of lower-case letters, digits and _, 64 at most" 2
    fi
done
if [[ $egs != /* ]]; then egs=$PWD/$egs; fi  # it may begin with -
recipe=$egs/$corpus/$model
if [[ -e $recipe ]]; then die "$recipe is there already" 2; fi

if ! mkdir -p "$egs/$corpus" 2>/dev/null || ! new=$(mktemp -d "$egs/$corpus/.tmp.XXXXXX" 2>/dev/null); then
    die "--egs $egs: cannot be made a folder, or not written" 2
fi
trap 'rm -rf "$new"' EXIT
mkdir "$new/conf"
cat >"$new/run.sh" <<END
#!/usr/bin/env bash
# $model on $corpus. The options are those of the engine, the root's run.sh, and of local/${corpus}_data.sh:
#   egs/$corpus/$model/run.sh --help
set -euo pipefail

here=\$(CDPATH='' cd -- "\$(dirname -- "\${BASH_SOURCE[0]}")" && pwd)
exec "\$here/../../../run.sh" --recipe "\$here" --config "\$here/conf/$model.yaml" --data_script local/${corpus}_data.sh "\$@"
END
cat >"$new/conf/$model.yaml" <<END
# $model on $corpus: only what differs from conf/base.yaml.
separator: $separator
END
cat >"$new/README.md" <<END
# $corpus: $model

    egs/$corpus/$model/run.sh

What was measured is in [RESULTS.md](RESULTS.md).
END
printf '# Results of %s/%s\n\nnot measured\n' "$corpus" "$model" >"$new/RESULTS.md"
chmod "$(umask -S)" "$new" # mktemp -d gives 0700 whatever the umask
chmod +x "$new/run.sh"
mv "$new" "$recipe"
log "made $recipe"
if ! [[ -f $root/local/${corpus}_data.sh ]]; then
    log "to be written: local/${corpus}_data.sh, which makes the data directories; local/mini_data.sh is an example"
fi
