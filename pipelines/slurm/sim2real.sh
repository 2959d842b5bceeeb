#!/bin/bash
# A command of sim2real by several processes, one for each GPU, under SLURM; preempted or out of time, it queues again.
#
#   sbatch --nodes=2 pipelines/slurm/sim2real.sh segment train CONFIG --arm oracle --run /shared/runs/x --workers 7
#
# The run folder and the data lie on a disk that all nodes see. No torchrun: SLURM starts the processes itself, so their
# exit code is the job's, and 75 (stopped by a signal, all saved) can be told from an error. Options of sbatch come
# before the script and replace those below: give what your nodes have. sim2real stands in the PATH, or SIM2REAL names it.
# A command for one process (compare, variants, translate experiment) takes --nodes=1 --ntasks-per-node=1 --gpus-per-node=1.
#SBATCH --job-name=sim2real
#SBATCH --nodes=1 --ntasks-per-node=4 --gpus-per-node=4 --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue --open-mode=append

set -u
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
SIM2REAL=${SIM2REAL:-sim2real}
export MASTER_ADDR MASTER_PORT OMP_NUM_THREADS SIM2REAL

# A preemption signals this shell as well, which has to live until the processes have saved.
trap : TERM
# Processes end each other, with one exit code for all. If SLURM killed the rest when the first has left, theirs would be
# that of a kill, and a job that saved would not queue again; and parts of `translate run` may end hours apart.
# Since 22.05 srun asks for a single processor unless told otherwise.
# shellcheck disable=SC2016  # what the tasks have in their environment, not this shell
srun --kill-on-bad-exit=0 --wait=0 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" bash -c '
    export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
    exec "$SIM2REAL" "$@"' sim2real "$@"
code=$?
if [ "$code" -eq 75 ]; then
    echo "stopped after saving; queued again (restart ${SLURM_RESTART_COUNT:-0})"
    scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
exit "$code"
