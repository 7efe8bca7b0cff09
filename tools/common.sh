# Sourced: messages, stages and files for the engine, the set-up and the data scripts.
# shellcheck shell=bash

# Prints a line with the time.
log() { printf '%(%Y-%m-%d %H:%M:%S)T %s\n' -1 "$*"; }

# die MESSAGE [STATUS]: one line on stderr, then exit with STATUS (1: failed, 2: wrong input or use).
die() {
    local message=$1
    printf '%s: error: %s\n' "${0##*/}" "${message//$'\n'/ }" >&2
    exit "${2:-1}"
}

# one_data_dir ARGUMENTS...: ends the script unless there is one.
one_data_dir() {
    if (($# != 1)); then die "one data directory is expected, got $#: tools/${0##*/} DIR" 2; fi
}

# duration SECONDS: prints "7 s", "3 min 20 s" or "1 h 2 min".
duration() {
    local seconds=$1
    if ((seconds < 60)); then
        printf '%d s' "$seconds"
    elif ((seconds < 3600)); then
        printf '%d min %d s' $((seconds / 60)) $((seconds % 60))
    else
        printf '%d h %d min' $((seconds / 3600)) $((seconds % 3600 / 60))
    fi
}

# in_stage N TITLE: true when stage N is to run (stage <= N <= stop_stage); logs its heading and starts its clock.
in_stage() {
    # shellcheck disable=SC2154  # options of the script
    if (($1 < stage || $1 > stop_stage)); then return 1; fi
    current_stage=$1
    export MINDAUDIO_EXT_STAGE=$1
    stage_started=$SECONDS
    log "stage $1: $2"
}

stage_reads() { log "  reads  $*"; }
stage_writes() { log "  writes $*"; }
stage_done() { log "stage $current_stage done in $(duration $((SECONDS - stage_started)))"; }

# empty_environment FOLDER HINT: empties what a set-up made half, or elsewhere, or with another Python: none of it can be
# trusted. Its mark stays, so that a folder that was not made here is never emptied; before there was a mark, the stamp or
# pip's log told.
empty_environment() {
    local mark=$1/.made_by_setup name=tools/${1##*/}
    if [[ -e $1 || -L $1 ]]; then
        if [[ -L $1 ]] || ! [[ -f $mark || -f $1/.complete || -f $1/setup.log ]]; then
            die "$name is there and was not made by tools/${0##*/}; $2" 2
        fi
    fi
    if ! mkdir -p "$1" 2>/dev/null || ! : 2>/dev/null >"$mark"; then die "$name: cannot be written" 2; fi
    find "$1" -mindepth 1 ! -path "$mark" -delete
}

# Says by environment variables where jobs run: as --cmd says, or else cmd.sh.
# shellcheck disable=SC1090,SC2154  # the recipe's cmd.sh or the root's; options of the script
use_cmd() {
    local cmd_backend=local file given="--cmd $cmd"
    if [[ -z $cmd ]] && file=$(find_file cmd.sh "$recipe" "$root"); then
        . "$file"
        given="$file: cmd_backend=$cmd_backend"
    fi
    cmd=${cmd:-$cmd_backend}
    case $cmd in
        local) unset MINDAUDIO_EXT_SLURM && return ;;
        slurm) ;;
        *) die "$given: must be local or slurm" 2 ;;
    esac
    type -P sbatch >/dev/null || die "--cmd slurm: there is no sbatch here; start this on a machine of the cluster" 2
    file=$(find_file conf/slurm.conf "$recipe" "$root") || die "--cmd slurm: conf/slurm.conf is missing" 2
    # Work is known again by its bytes, and sets of strings are in the hash's order.
    export MINDAUDIO_EXT_SLURM=$file MINDAUDIO_EXT_SHARDS=$nj MINDAUDIO_EXT_JOBS=$recipe/exp/jobs PYTHONHASHSEED=0
}

# need FILE STAGE: stops when FILE is missing, naming the stage that makes it.
need() {
    if ! [[ -e $1 ]]; then die "$1 is missing: stage $2 makes it (--stage $2)" 2; fi
}

# find_file NAME FOLDER...: prints the path of NAME in the first FOLDER that has it, or NAME itself when it begins with /;
# false when there is none.
find_file() {
    local name=$1 folder path
    for folder in "${@:2}"; do
        path=$folder/$name
        if [[ $name == /* ]]; then path=$name; fi
        if [[ -f $path ]]; then printf '%s\n' "$path" && return; fi
    done
    return 1
}

# Prints the ids of all descendants of a process.
descendants() {
    local list child children
    for list in "/proc/$1/task/"*/children; do
        children=''
        if [[ -r $list ]]; then read -r children 2>/dev/null <"$list" || true; fi
        for child in $children; do
            printf '%s\n' "$child"
            descendants "$child"
        done
    done
}

# Ends the running command with all it has started, then this script.
stop_command() {
    local signal=$1 process processes
    trap '' INT TERM HUP
    mapfile -t processes < <(printf '%s\n' "$command_pid" && descendants "$command_pid")
    kill -TERM "${processes[@]}" 2>/dev/null || true
    for _ in {1..600}; do  # a training saves its state after the step it is at
        kill -0 "${processes[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for process in "${processes[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
    exit $((128 + signal))
}

# run_command COMMAND...: runs it and returns its status. bash handles a signal only after a command in the foreground, so
# it runs in the background and is waited for: whoever ends this script ends the command too, even with SIGKILL.
run_command() {
    local status=0 tied=()
    if setpriv --pdeathsig KILL true 2>/dev/null; then tied=(setpriv --pdeathsig KILL); fi
    "${tied[@]}" "$@" &
    command_pid=$!
    trap 'stop_command 2' INT
    trap 'stop_command 15' TERM
    trap 'stop_command 1' HUP
    wait "$command_pid" || status=$?
    trap - INT TERM HUP
    return "$status"
}

# run_stage COMMAND...: a stage's command; when it fails, exits with 2 (wrong input) or quietly, or says which stage and
# exits with 1.
run_stage() {
    local status=0
    run_command "$@" || status=$?
    if ((status == 0)); then return; fi
    # 2: the command has said in its line what is wrong; 130: Ctrl-C; 141: nobody reads what it prints.
    if ((status == 2 || status == 130 || status == 141)); then exit "$status"; fi
    log "stage $current_stage failed (exit status $status)" >&2
    exit 1
}
