#!/usr/bin/env bash
# Speech separation in six stages, from a corpus to a table of results and a model for deployment:
#   0 data prep   1 MindRecord dump   2 train   3 decode   4 score   5 export 310
#
# Bare `./run.sh` is the smallest recipe: it makes its own corpus and takes some minutes on a CPU. A recipe's run.sh in
# egs/<corpus>/<model> calls this one with its own defaults. Any stage can be the first when what it reads is there.
set -euo pipefail

stage=0                         # first stage to run (0-5)
stop_stage=5                    # last stage to run
ngpu=1                          # devices to train on, of each machine; on a CPU, processes (1-1024)
num_nodes=1                     # machines to train on; stage 2 is started on each of them (1-1024)
node_rank=0                     # this machine among them, from 0 (0-1023)
master_addr=                    # address of machine 0, for several
master_port=                    # a port of machine 0, the next one is used too; for one machine a free one when empty (1024-65534)
nj=2                            # CPU jobs for data, dump, decode and score (1-1024)
cmd=                            # where jobs run, local or slurm; what cmd.sh says when empty
config=conf/mini.yaml           # the recipe's config; looked for here, in the recipe, in the root
expdir=                         # experiment folder; exp/<name of the config> in the recipe's folder when empty
train_args=                     # config keys to override: "key=value separator_conf.chunk_size=64"
pretrained=                     # decode, score and export this model, built in or hf:ORG/NAME: stages 1 and 2 are left out
model_path=                     # checkpoint to decode and export; the experiment's best when empty
device_target=                  # Ascend or CPU; what the config says when empty
device_id=                      # the card when one is used; what the config says when empty (0-1023)
recipe=                         # folder of the recipe; the root when empty
data_script=local/mini_data.sh  # makes the data directories; looked for in the recipe, in the root, here
force=false                     # train although a full published test set misses its known scores
allow_pipes=false               # run the commands that scp files hold: "flac -dc x.flac |"
debug=false                     # show the traceback of an error

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
. "$root/tools/common.sh"

# Prints, for RESULTS.md, how this was called: the recipe's run.sh and the user's options, without this machine's folders.
describe_call() {
    local words=() word
    words=("${recipe#"$root"/}/run.sh")
    if [[ $recipe == "$root" ]]; then words=(./run.sh); fi
    for ((i = 0; i < ${#arguments[@]}; i++)); do
        case ${arguments[i]} in
            --recipe | --data_script | --data-script) i=$((i + 1)) ;;
            *)
                word=${arguments[i]#"$recipe"/}
                if [[ $word == /* ]]; then word=.../${word##*/}; fi
                words+=("$word")
                ;;
        esac
    done
    printf '%s' "${words[*]@Q}" | sed "s/'\([A-Za-z0-9_./=-]*\)'/\1/g"
}

# Makes the experiment folder from the built-in or public model, unless it is there.
take_pretrained() {
    local models=$root/mindaudio_ext/pretrained folder part
    folder=$(dirname -- "$expdir")
    local source=$models/$pretrained
    if [[ $pretrained == hf:* ]]; then
        . "$root/path.sh"
        source=$(python -m mindaudio_ext.bin.convert "$pretrained") || exit $?
    elif ! [[ -f $source/config.yaml ]]; then
        die "--pretrained $pretrained: no such built-in model; $models has them" 2
    fi
    if ! [[ -e $expdir || -L $expdir ]]; then
        # A folder of its own name: one of a fixed name may be the user's.
        if ! mkdir -p -- "$folder" 2>/dev/null || ! part=$(mktemp -d "$folder/.tmp.XXXXXX" 2>/dev/null); then
            die "--expdir $expdir: cannot be made" 2
        fi
        trap 'rm -rf "$part"' EXIT
        cp -R -- "$source" "$part/model"
        mv -T -- "$part/model" "$expdir"
        rmdir -- "$part"
        trap - EXIT
    elif ! cmp -s "$source/checkpoints/best.ckpt" "$expdir/checkpoints/best.ckpt"; then
        die "$expdir holds another model than $pretrained; give another --expdir, or remove the folder" 2
    fi
}

# The data script declares the corpus's options, so it must be known before options are parsed.
arguments=("$@")
# A config that was given is looked for in the current folder first, the default is not.
config_folders=()
for ((i = 0; i + 1 < $#; i++)); do
    case ${arguments[i]} in
        --recipe) recipe=${arguments[i + 1]} ;;
        --data_script | --data-script) data_script=${arguments[i + 1]} ;;
        --config) config_folders=(.) ;;
    esac
done
data_script_path=$(find_file "$data_script" "${recipe:-$root}" "$root" .) || true
option_files=()
if [[ -n $data_script_path ]]; then option_files=("$data_script_path"); fi
option_hidden=(data nj sample_rate num_spks debug)
. "$root/tools/parse_options.sh"

if ((stage > stop_stage)); then die "--stage $stage comes after --stop_stage $stop_stage: nothing to do" 2; fi
if ((ngpu * num_nodes > 1)) && [[ -n $device_id ]]; then
    die "--device_id $device_id: picks the card when one is used; --ngpu $ngpu takes the cards from 0 on" 2
fi
if [[ -n $recipe && ! -d $recipe ]]; then die "--recipe $recipe is not a folder" 2; fi
recipe=$(CDPATH='' cd -- "${recipe:-$root}" && pwd)
config_path=$(find_file "$config" "${config_folders[@]}" "$recipe" "$root") || die "--config $config: no such file here, in $recipe or in $root" 2
if [[ -z $expdir ]]; then
    experiment=${pretrained:-$(basename -- "$config_path" .yaml)}
    experiment=${experiment#hf:}
    expdir=$recipe/exp/${experiment//\//--}
fi
if [[ -n $pretrained ]]; then take_pretrained; fi

. "$root/path.sh"
use_cmd
command_line=$(describe_call)
started=$SECONDS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi

# Once there is a model its config counts, not the recipe's. What training depends on cannot be changed in its folder,
# the rest can, for this run. Every stage takes the resolved config; here is asked for what this script needs itself.
# The options of the model are checked by its constructor, so MindSpore is imported, once: about 3 s.
resolved=$work/config.yaml
if ((stage > 2)) || [[ -n $pretrained ]]; then
    need "$expdir/config.yaml" 2
    config_path=$expdir/config.yaml
fi
devices="${device_target:+device_target=$device_target} ${device_id:+device_id=$device_id}"
python -m mindaudio_ext.bin.config --base "$root/conf/base.yaml" --config "$config_path" --set="$devices" \
    --set="$train_args" ${model_path:+--text model_path="$model_path"} --trained "$expdir/config.yaml" \
    --out "$resolved" --print0 train_set valid_set test_sets dump_dir corpus_dir sample_rate num_spks model_path \
    decode_checkpoint "${debug_flag[@]}" >"$work/values" || exit $(($? == 2 ? 2 : 1))
train_set='' valid_set='' test_sets=() dump_dir='' corpus_dir='' sample_rate='' num_spks='' decode_checkpoint=''
while IFS= read -r -d '' value; do
    case $value in
        test_sets=*) test_sets+=("${value#*=}") ;;
        *) printf -v "${value%%=*}" '%s' "${value#*=}" ;;
    esac
done <"$work/values"
dump=$dump_dir
if [[ $dump != /* ]]; then dump=$recipe/$dump; fi
data=$recipe/data
test_data=()
for set in "${test_sets[@]}"; do test_data+=("$data/$set"); done

if in_stage 0 "data prep"; then
    if [[ -z $data_script_path ]]; then
        die "--data_script $data_script: no such file here, in $recipe or in $root; with data/ already made, start at --stage 1" 2
    fi
    corpus_option=$(sed -n 's/^# corpus: *\([a-z][a-z0-9_]*\) *$/\1/p' "$data_script_path" | head -n 1)
    if [[ -n $corpus_option && -n $corpus_dir && " ${extra_options[*]-} " != *" --$corpus_option "* ]]; then
        extra_options+=("--$corpus_option" "$corpus_dir")
    fi
    if grep -q '^debug=.*  #' "$data_script_path"; then extra_options+=(--debug "$debug"); fi
    stage_reads "the corpus, by $data_script_path"
    stage_writes "$data/{$train_set,$valid_set,$(IFS=, && printf '%s' "${test_sets[*]}")}"
    run_stage bash "$data_script_path" --data "$data" --nj "$nj" --sample_rate "$sample_rate" --num_spks "$num_spks" \
        "${extra_options[@]}"
    stage_done
fi

if [[ -z $pretrained ]] && in_stage 1 "MindRecord dump"; then
    for set in "$train_set" "$valid_set" "${test_sets[@]}"; do
        if ! [[ -e $data/$set/mix.csv ]]; then need "$data/$set/wav.scp" 0; fi
        stage_reads "$data/$set"
        stage_writes "$dump/$set"
        run_stage python -m mindaudio_ext.bin.dump --config "$resolved" --data "$data/$set" --out "$dump/$set" \
            --nj "$nj" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    done
    stage_done
fi

if [[ -z $pretrained ]] && in_stage 2 "train"; then
    need "$dump/$train_set/manifest.json" 1
    need "$dump/$valid_set/manifest.json" 1
    for folder in "${test_data[@]}"; do
        if ! [[ -e $folder/wav.scp || -e $folder/mix.csv ]]; then continue; fi
        # It scores, by jobs of stage 4's kind on a cluster: what conf/slurm.conf has for stage 2 is for the training.
        MINDAUDIO_EXT_STAGE=4 run_stage python -m mindaudio_ext.bin.check_data "$folder" --before_training true \
            --force "$force" --nj "$nj" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    done
    stage_reads "$dump/$train_set, $dump/$valid_set"
    stage_writes "$expdir/{config.yaml,train.log,history.jsonl,model.json,checkpoints}"
    launch=()
    if ((ngpu * num_nodes > 1)) || [[ $cmd == slurm ]]; then
        stage_writes "$expdir/log: what each process says"
        machines=(--num_nodes "$num_nodes" --node_rank "$node_rank"
            ${master_addr:+--master_addr "$master_addr"} ${master_port:+--master_port "$master_port"})
        if [[ $cmd == slurm ]]; then
            launch=(mindaudio_ext.bin.stage_job --num_nodes "$num_nodes")
            machines=(--slurm)
        fi
        launch+=(mindaudio_ext.bin.launch --ngpu "$ngpu" "${machines[@]}" --log_dir "$expdir/log")
    fi
    run_stage python -m "${launch[@]}" mindaudio_ext.bin.train --config "$resolved" --train "$dump/$train_set" \
        --valid "$dump/$valid_set" --expdir "$expdir" "${debug_flag[@]}"
    stage_done
fi

checkpoint=${model_path:-$expdir/checkpoints/$decode_checkpoint.ckpt}
if [[ -n $model_path && ! -f $model_path ]] && ((stop_stage > 2)); then die "--model_path $model_path: no such file" 2; fi

if in_stage 3 "decode"; then
    need "$expdir/config.yaml" 2
    need "$checkpoint" 2
    for set in "${test_sets[@]}"; do
        need "$data/$set/wav.scp" 0
        stage_reads "$checkpoint, $data/$set"
        stage_writes "$expdir/separated_$set"
        run_stage python -m mindaudio_ext.bin.decode --config "$resolved" --expdir "$expdir" --data "$data/$set" \
            --nj "$nj" --ngpu "$ngpu" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    done
    stage_done
fi

if in_stage 4 "score"; then
    for set in "${test_sets[@]}"; do
        need "$data/$set/spk1.scp" 0
        need "$expdir/separated_$set/spk1.scp" 3
        stage_reads "$expdir/separated_$set, $data/$set"
        stage_writes "$expdir/scores_$set.csv"
    done
    stage_writes "$expdir/RESULTS.md, $expdir/report.html"
    run_stage python -m mindaudio_ext.bin.score --config "$resolved" --expdir "$expdir" --data "${test_data[@]}" \
        --nj "$nj" --command_line "$command_line" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    stage_done
fi

if in_stage 5 "export 310"; then
    need "$expdir/config.yaml" 2
    need "$checkpoint" 2
    need "${test_data[0]}/wav.scp" 0
    stage_reads "$checkpoint, ${test_data[0]}"
    stage_writes "$expdir/export"
    job=()
    if [[ $cmd == slurm ]]; then job=(mindaudio_ext.bin.stage_job --title export); fi
    run_stage python -m "${job[@]}" mindaudio_ext.bin.export --config "$resolved" --expdir "$expdir" --data "${test_data[0]}" \
        --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    stage_done
fi

if ((stage <= 4 && stop_stage >= 4)); then
    printf '\n%s\n\n' "$(<"$expdir/RESULTS.md")"
    log "results: $expdir/RESULTS.md, $expdir/scores_<set>.csv; separated speech: $expdir/separated_<set>/wav"
    log "to look and listen: $expdir/report.html"
fi
log "stages $stage to $((stop_stage < 5 ? stop_stage : 5)) done in $(duration $((SECONDS - started)))"
