#!/bin/bash
# asyrp-sweep submit encoder --on slurm --results /results
# Written by asyrp-sweep. May be edited: `sbatch` with this file submits it again.
#SBATCH --job-name=encoder
#SBATCH --partition=gpu
#SBATCH --account=my_lab
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=240
#SBATCH --output=/results/encoder/submissions/001.log
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
#SBATCH --no-kill
#SBATCH --requeue
#SBATCH --constraint=a100
#SBATCH --mem=64G

set -u
unset TMPDIR RAY_ADDRESS  # a long TMPDIR does not fit into the paths of Ray's sockets
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0  # else workers have the lowest priority
export ASYRP_SWEEP_COMMAND='asyrp-sweep submit encoder --on slurm --results /results'
SCRATCH="/tmp"  # on every node
module load cuda/12.4
PYTHON=(apptainer exec --nv /shared/sweep.sif /opt/sweep/bin/python)
LAUNCH=("${PYTHON[@]}" -m orchestrator.cli run encoder --results /results --yes)

LOG=/results/encoder/submissions/001
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
mapfile -t NODES < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
IP=$(hostname -I | cut -d ' ' -f 1)  # this script runs on the first node
PORT=$("${PYTHON[@]}" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
RAY=("${PYTHON[@]}" -m ray.scripts.scripts start --num-cpus "$SLURM_CPUS_ON_NODE" --min-worker-port 0
     --max-worker-port 0 --object-store-memory 100000000 --block)
FOLDER="$SCRATCH/r$SLURM_JOB_ID"  # and the node's number: $SCRATCH may be shared
srun -N1 -n1 -w "${NODES[0]}" "${RAY[@]}" --temp-dir "$FOLDER.0" \
  --head --node-ip-address "$IP" --port "$PORT" --include-dashboard false \
  >"$LOG-ray-${NODES[0]}.log" 2>&1 & STEPS=($!)
until (exec 3<>"/dev/tcp/$IP/$PORT") 2>/dev/null; do
  kill -0 "${STEPS[0]}" || { echo "Ray's head did not start: $LOG-ray-${NODES[0]}.log"; exit 1; }
  sleep 0.5
done
# --no-kill leaves the other nodes to a job whose first one, with this script, is lost: one of them starts it again.
WITHOUT_FIRST='"${@:2}"
  until LEFT=$(squeue --noheader --job "$SLURM_JOB_ID" --format %N) && [ -n "$LEFT" ] &&
      ! scontrol show hostnames "$LEFT" | grep -qx "$1"; do sleep 30; done
  [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && scontrol requeue "$SLURM_JOB_ID" || scancel "$SLURM_JOB_ID"'
for ((I = 1; I < ${#NODES[@]}; I++)); do
  srun -N1 -n1 -w "${NODES[I]}" bash -c "$WITHOUT_FIRST" bash "${NODES[0]}" "${RAY[@]}" \
    --temp-dir "$FOLDER.$I" --address "$IP:$PORT" >"$LOG-ray-${NODES[I]}.log" 2>&1 & STEPS+=($!)
done
for _ in {1..240}; do  # two minutes; what comes later is used by the next launch
  [ "$(grep -ls 'Ray runtime started' "$LOG"-ray-*.log | wc -l)" -ge "${#NODES[@]}" ] && break
  sleep 0.5
done
LAUNCH+=(--address "$IP:$PORT")
LAUNCH+=(--time-limit "$((14400 - SECONDS))s")  # what is left of the job
"${LAUNCH[@]}" & RUNNING=$!
trap 'kill -TERM $RUNNING; (sleep 30; kill -KILL $RUNNING 2>/dev/null) & KILLER=$!' TERM
trap 'kill -USR1 $RUNNING' USR1
wait $RUNNING; CODE=$?
while kill -0 $RUNNING 2>/dev/null; do wait $RUNNING; CODE=$?; done
for STEP in "${STEPS[@]:-}" "${KILLER:-}"; do [ -n "$STEP" ] && kill "$STEP" 2>/dev/null; done
wait
for NODE in "${NODES[@]:-}"; do  # a step that is ended is killed at once, and cannot tidy up
  [ -n "$NODE" ] && timeout 30 srun -N1 -n1 -w "$NODE" bash -c 'rm -rf "$0".*' "$FOLDER" &
done
wait
[ $CODE -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ] && scontrol requeue "$SLURM_JOB_ID"
exit $CODE
