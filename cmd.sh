# Where the jobs of run.sh run. A recipe may have a cmd.sh of its own; --cmd overrides it.
#   local   on this machine
#   slurm   on a cluster, by its Slurm: conf/slurm.conf says with which options of sbatch
# shellcheck shell=bash disable=SC2034

cmd_backend=local
