#!/usr/bin/env bash
# A real Slurm on this machine, all of it in one folder: slurmctld, its munged, and a slurmd for each of some nodes, which
# has a network namespace and an address of its own where these can be made.
#   tests/cluster/start_slurm.sh start FOLDER [NODES]   starts it, as root; then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/cluster/start_slurm.sh controller FOLDER      starts its slurmctld again, after `kill $(<FOLDER/slurmctld.pid)`
#   tests/cluster/start_slurm.sh node FOLDER N          starts the slurmd of a node again
#   tests/cluster/start_slurm.sh stop FOLDER            ends every process of it
# Debian and Ubuntu: apt-get install slurm-wlm munge
set -euo pipefail

# fail MESSAGE: one line, exit status 2.
fail() {
    printf 'start_slurm.sh: error: %s\n' "$1" >&2
    exit 2
}

# Prints a port of this machine that nobody listens at, and that nobody is given who asks for any.
free_port() {
    python3 -c '
import random, socket
for port in random.sample(range(10000, 20000), 1000):
    with socket.socket() as trial:
        if trial.connect_ex(("127.0.0.1", port)):
            print(port)
            break
'
}

# Gives a bridge an address of 198.18.0.0/15, which is for tests, in a network of its own, and prints the network. Another
# Slurm that is started now waits.
take_network() {
    local i network
    (
        flock --timeout 10 9
        for ((i = $$; ; i++)); do
            network=198.$((18 + i / 256 % 2)).$((i % 256))
            if ! ip -4 -o address show | grep -qF " $network."; then break; fi
        done
        ip address add "$network.1/24" dev "$1" && printf '%s\n' "$network"
    ) 9>/run/start_slurm.lock
}

# Makes a bridge with this machine at one end and a network namespace for each node at another; false where it cannot.
make_network() {
    local i name=sl$$
    type -P ip >/dev/null && ip link add "$name" type bridge 2>/dev/null || return 1
    printf '%s\n' "$name" >"$folder/network"
    net=$(take_network "$name") && ip link set "$name" up || return 1
    for ((i = 0; i < nodes; i++)); do
        ip netns add "$name-$i" &&
            ip link add "$name.$i" type veth peer name "$name+$i" &&
            ip link set "$name.$i" master "$name" up &&
            ip link set "$name+$i" netns "$name-$i" &&
            ip -n "$name-$i" address add "$net.$((i + 2))/24" dev "$name+$i" &&
            ip -n "$name-$i" link set "$name+$i" up &&
            ip -n "$name-$i" link set lo up || return 1
    done
}

remove_network() {
    local namespace name
    if ! [[ -f $folder/network ]]; then return; fi
    name=$(<"$folder/network")
    for namespace in /run/netns/"$name"-*; do ip netns delete "${namespace##*/}" 2>/dev/null || true; done
    ip link delete "$name" 2>/dev/null || true
    rm "$folder/network"
}

# in_node N COMMAND...: runs it in the network of a node. `ip netns exec` would also hide /sys/fs/cgroup from slurmd.
in_node() {
    if [[ -f $folder/network ]]; then nsenter --net="/run/netns/$(<"$folder/network")-$1" "${@:2}"; else "${@:2}"; fi
}

# Two partitions: main, and short, whose jobs may take a minute.
write_configuration() {
    local host i controller=127.0.0.1 address
    if [[ -f $folder/network ]]; then controller=$net.1; fi
    host=$(hostname -s)
    cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host($controller)
SlurmctldPort=$(free_port)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,defer_batch=0
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/finished_jobs.txt
AccountingStorageType=accounting_storage/none
MinJobAge=10
KillWait=20
InactiveLimit=0
ReturnToService=2
END
    for ((i = 0; i < nodes; i++)); do
        address=127.0.0.1
        if [[ -f $folder/network ]]; then address=$net.$((i + 2)); fi
        printf 'NodeName=node%d NodeHostname=%s NodeAddr=%s Port=%d CPUs=4 RealMemory=4000\n' \
            "$i" "$host" "$address" "$(free_port)" >>"$folder/slurm.conf"
    done
    printf 'PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO\n' >>"$folder/slurm.conf"
    printf 'PartitionName=short Nodes=ALL MaxTime=1 DefaultTime=1 State=UP\n' >>"$folder/slurm.conf"
}

start_munge() {
    head -c 1024 /dev/urandom >"$folder/munge.key"
    chmod 400 "$folder/munge.key"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
}

# Waits until every node takes jobs.
wait_for_nodes() {
    local idle end=$((SECONDS + 120))
    while ((SECONDS < end)); do
        idle=$(timeout 5 sinfo -h -N -p main -o %T 2>/dev/null | grep -cx idle) || true
        if [[ $idle == "$nodes" ]]; then return; fi
        sleep 0.2
    done
    fail "the nodes did not come up within two minutes; see $folder/*.log"
}

# Prints the ids of all descendants of a process.
descendants() {
    local child children
    read -rd '' -a children < <(cat "/proc/$1/task/"*/children 2>/dev/null) || true
    for child in "${children[@]}"; do
        printf '%s\n' "$child"
        descendants "$child"
    done
}

# Prints the ids of what runs the jobs of this Slurm, and of all they have started: a slurmstepd outlives its slurmd.
job_processes() {
    local program process
    for program in /proc/[0-9]*/comm; do
        process=${program//[!0-9]/}
        if [[ $(cat "$program" 2>/dev/null) == slurmstepd ]] &&
            grep -qzxF "SLURM_CONF=$SLURM_CONF" "/proc/$process/environ" 2>/dev/null; then
            printf '%s\n' "$process"
            descendants "$process"
        fi
    done
}

# end_processes IDS...: ends them, after two seconds with SIGKILL.
end_processes() {
    if ! (($#)); then return; fi
    kill "$@" 2>/dev/null || true
    for _ in {1..20}; do
        kill -0 "$@" 2>/dev/null || break
        sleep 0.1
    done
    for process; do kill -KILL "$process" 2>/dev/null || true; done
}

# Nothing here waits for a part of it that has died.
stop() {
    local file daemons=() processes
    timeout 5 scancel --user=root 2>/dev/null || true
    for file in "$folder"/slurmd.*.pid "$folder/slurmctld.pid" "$folder/munged.pid"; do
        if [[ -f $file ]]; then daemons+=("$(<"$file")"); fi
    done
    mapfile -t processes < <(job_processes)
    end_processes "${processes[@]}"
    end_processes "${daemons[@]}"
    remove_network
}

if (($# < 2)); then fail "expected: start FOLDER [NODES], controller FOLDER, node FOLDER N or stop FOLDER"; fi
action=$1 folder=$(realpath -m -- "$2") nodes=${3:-2} net=
export SLURM_CONF=$folder/slurm.conf
for program in munged slurmctld slurmd sinfo; do
    command -v "$program" >/dev/null || fail "$program is missing: apt-get install slurm-wlm munge"
done
if ((UID != 0)); then fail "must be root: slurmd is"; fi
case $action in
    start)
        mkdir -p "$folder/state"
        chmod 755 "$folder"
        make_network || remove_network
        write_configuration
        start_munge
        slurmctld -c || fail "slurmctld did not start; see $folder/slurmctld.log"
        for ((i = 0; i < nodes; i++)); do
            mkdir -p "$folder/spool.node$i"
            in_node "$i" slurmd -N "node$i"
        done
        wait_for_nodes
        ;;
    controller) slurmctld ;;
    node) in_node "$3" slurmd -N "node$3" ;;
    stop) stop ;;
    *) fail "'$action': expected start, controller, node or stop" ;;
esac
