#!/usr/bin/env bash
# Speech separation in six stages, from a corpus to a table of results and a model for deployment:
#   0 data prep   1 MindRecord dump   2 train   3 decode   4 score   5 export 310
#
# Bare `./run.sh` is the smallest recipe: it makes its own corpus and takes some minutes on a CPU. A recipe's run.sh in
# egs/<corpus>/<model> calls this one with its own defaults. Any stage can be the first when what it reads is there.
set -euo pipefail

stage=0                         # first stage to run, 0-5
stop_stage=5                    # last stage to run
ngpu=1                          # devices to train on, of each machine; on a CPU, processes
num_nodes=1                     # machines to train on; stage 2 is started on each of them
node_rank=0                     # this machine among them, from 0
master_addr=                    # address of machine 0, for several
master_port=                    # a port of machine 0, the next one is used too; for one machine a free one when empty
nj=2                            # CPU jobs for data, dump, decode and score
config=conf/mini.yaml           # the recipe's config; looked for here, in the recipe, in the root
expdir=                         # experiment folder; exp/<name of the config> in the recipe's folder when empty
train_args=                     # config keys to override: "key=value separator_conf.chunk_size=64"
pretrained=                     # decode, score and export this built-in model: stages 1 and 2 are left out
model_path=                     # checkpoint to decode and export; the experiment's best when empty
device_target=                  # Ascend or CPU; what the config says when empty
device_id=                      # the card when one is used; what the config says when empty
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

# Makes the experiment folder from the built-in model, unless it is there.
take_pretrained() {
    local models=$root/mindaudio_ext/pretrained part=$expdir.part
    local source=$models/$pretrained
    if ! [[ -f $source/config.yaml ]]; then
        die "--pretrained $pretrained: no such built-in model; $models has them" 2
    fi
    if ! [[ -e $expdir ]]; then
        mkdir -p "$(dirname -- "$expdir")"
        rm -rf "$part"
        cp -R "$source" "$part"
        mv -- "$part" "$expdir"
    elif ! cmp -s "$source/checkpoints/best.ckpt" "$expdir/checkpoints/best.ckpt"; then
        die "$expdir holds another model than the built-in $pretrained; give another --expdir, or remove the folder" 2
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

if ((stage > 5)); then die "--stage $stage: the stages are 0 to 5" 2; fi
if ((stage > stop_stage)); then die "--stage $stage comes after --stop_stage $stop_stage: nothing to do" 2; fi
if ((nj < 1)); then die "--nj must be at least 1" 2; fi
if ((ngpu < 1 || num_nodes < 1)); then die "--ngpu and --num_nodes must be at least 1" 2; fi
if ((ngpu * num_nodes > 1)) && [[ -n $device_id ]]; then
    die "--device_id $device_id: picks the card when one is used; --ngpu $ngpu takes the cards from 0 on" 2
fi
if [[ -n $recipe && ! -d $recipe ]]; then die "--recipe $recipe is not a folder" 2; fi
recipe=$(CDPATH='' cd -- "${recipe:-$root}" && pwd)
config_path=$(find_file "$config" "${config_folders[@]}" "$recipe" "$root") || die "--config $config: no such file here, in $recipe or in $root" 2
if [[ -z $expdir ]]; then expdir=$recipe/exp/${pretrained:-$(basename -- "$config_path" .yaml)}; fi
if [[ -n $pretrained ]]; then take_pretrained; fi

. "$root/path.sh"
command_line=$(describe_call)
started=$SECONDS
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debug_flag=()
if [[ $debug == true ]]; then debug_flag=(--debug); fi

# Runs bin.config on the config file $1 with the rest as its options.
read_config() {
    python -m mindaudio_ext.bin.config --base "$root/conf/base.yaml" --config "$@" "${debug_flag[@]}" ||
        exit $(($? == 2 ? 2 : 1))
}

# Once there is a model its config counts, not the recipe's. What training depends on cannot be changed in its folder,
# the rest can, for this run.
resolved=$work/config.yaml
if ((stage > 2)) || [[ -n $pretrained ]]; then
    need "$expdir/config.yaml" 2
    config_path=$expdir/config.yaml
fi
devices="${device_target:+device_target=$device_target} ${device_id:+device_id=$device_id}"
read_config "$config_path" --set="$devices" --set="$train_args" --trained "$expdir/config.yaml" --out "$resolved"
# The last of them is never empty: $( ) drops empty lines at the end.
read_config "$resolved" --print train_set valid_set test_sets dump_dir corpus_dir model_path train_name \
    test_name cal_sdr export_segment device_target num_spks sample_rate export_batch export_targets \
    decode_checkpoint export_utterances cal_pesq reference_protocol shifts >"$work/values"
mapfile -t values <"$work/values"
train_set=${values[0]} valid_set=${values[1]} dump_dir=${values[3]} corpus_dir=${values[4]}
read -r -a test_sets <<<"${values[2]}"
train_name=${values[6]} test_name=${values[7]} cal_sdr=${values[8]}
device_target=${values[10]} num_spks=${values[11]} sample_rate=${values[12]}
read -r -a export_segments <<<"${values[9]}"
read -r -a export_targets <<<"${values[14]}"
export_batch=${values[13]} decode_checkpoint=${values[15]} export_utterances=${values[16]}
cal_pesq=${values[17]} reference_protocol=${values[18]} shifts=${values[19]}
model_path=${model_path:-${values[5]}}
data=$recipe/data
dump=${dump_dir:-dump}
if [[ $dump != /* ]]; then dump=$recipe/$dump; fi
test_data=("${test_sets[@]/#/$data/}")

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
        case $set in
            "$train_set") name=${train_name:-$set} ;;
            "$valid_set") name=$set ;;
            *) name=${test_name:-$set} ;;
        esac
        run_stage python -m mindaudio_ext.bin.dump --data "$data/$set" --out "$dump/$set" --name "$name" --nj "$nj" \
            --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    done
    stage_done
fi

if [[ -z $pretrained ]] && in_stage 2 "train"; then
    need "$dump/$train_set/manifest.json" 1
    need "$dump/$valid_set/manifest.json" 1
    for folder in "${test_data[@]}"; do
        if ! [[ -e $folder/wav.scp || -e $folder/mix.csv ]]; then continue; fi
        run_stage python -m mindaudio_ext.bin.check_data "$folder" --before_training true --force "$force" --nj "$nj" \
            --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    done
    stage_reads "$dump/$train_set, $dump/$valid_set"
    stage_writes "$expdir/{config.yaml,train.log,history.jsonl,model.json,checkpoints}"
    launch=()
    if ((ngpu * num_nodes > 1)); then
        stage_writes "$expdir/log: what each process says"
        launch=(mindaudio_ext.bin.launch --ngpu "$ngpu" --num_nodes "$num_nodes" --node_rank "$node_rank"
            ${master_addr:+--master_addr "$master_addr"} ${master_port:+--master_port "$master_port"}
            --log_dir "$expdir/log")
    fi
    run_stage python -m "${launch[@]}" mindaudio_ext.bin.train --config "$resolved" --train "$dump/$train_set" \
        --valid "$dump/$valid_set" --expdir "$expdir" "${debug_flag[@]}"
    stage_done
fi

if [[ -z $model_path && $decode_checkpoint != best ]]; then model_path=$expdir/checkpoints/$decode_checkpoint.ckpt; fi
checkpoint=${model_path:-$expdir/checkpoints/best.ckpt}
if [[ -n $model_path && ! -f $model_path ]] && ((stop_stage > 2)); then die "--model_path $model_path: no such file" 2; fi
checkpoint_option=(${model_path:+--model_path "$model_path"})

if in_stage 3 "decode"; then
    need "$expdir/config.yaml" 2
    need "$checkpoint" 2
    for set in "${test_sets[@]}"; do
        need "$data/$set/wav.scp" 0
        stage_reads "$checkpoint, $data/$set"
        stage_writes "$expdir/separated_$set"
        run_stage python -m mindaudio_ext.bin.decode --expdir "$expdir" --data "$data/$set" "${checkpoint_option[@]}" \
            --device_target "$device_target" --reference_protocol "$reference_protocol" --shifts "$shifts" \
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
    run_stage python -m mindaudio_ext.bin.score --expdir "$expdir" --data "${test_data[@]}" --nj "$nj" \
        --cal_sdr "$cal_sdr" --cal_pesq "$cal_pesq" --reference_protocol "$reference_protocol" \
        --command_line "$command_line" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    stage_done
fi

if in_stage 5 "export 310"; then
    need "$expdir/config.yaml" 2
    need "$checkpoint" 2
    need "${test_data[0]}/wav.scp" 0
    stage_reads "$checkpoint, ${test_data[0]}"
    stage_writes "$expdir/export"
    run_stage python -m mindaudio_ext.bin.export --expdir "$expdir" --data "${test_data[0]}" "${checkpoint_option[@]}" \
        --export_segment "${export_segments[@]}" --export_batch "$export_batch" --export_targets "${export_targets[@]}" \
        --export_utterances "$export_utterances" --allow_pipes "$allow_pipes" "${debug_flag[@]}"
    stage_done
fi

if ((stage <= 4 && stop_stage >= 4)); then
    printf '\n%s\n\n' "$(<"$expdir/RESULTS.md")"
    log "results: $expdir/RESULTS.md, $expdir/scores_<set>.csv; separated speech: $expdir/separated_<set>/wav"
    log "to look and listen: $expdir/report.html"
fi
log "stages $stage to $((stop_stage < 5 ? stop_stage : 5)) done in $(duration $((SECONDS - started)))"
