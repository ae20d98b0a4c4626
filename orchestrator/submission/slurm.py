"""Slurm: one batch job, in which Ray is started over all of its nodes and ends with it."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.execution.ending import GO_ON
from orchestrator.submission.commands_of_others import is_here, output_of
from orchestrator.submission.request import COMMAND_VARIABLE, Job, Request
from orchestrator.submission.site import SlurmSite
from trainables.wording import did_you_mean, duration

_ACTIVE = {
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "RESIZING",
    "SIGNALING", "STAGE_OUT", "STOPPED", "SPECIAL_EXIT", "REQUEUE_FED",
}  # fmt: skip
"""States of a job that squeue calls unfinished (man squeue, JOB STATE CODES)."""
MAX_SCRATCH = 30
"""Characters of a scratch path: Ray adds 64 to `<scratch>/r<job>.<node>`, and a socket's path has at most 107 bytes."""


@dataclass(frozen=True)
class Slurm:
    """Jobs by sbatch."""

    site: SlurmSite

    file_ending = ".sh"

    @property
    def address(self) -> str:
        """None: the programs of Slurm know their own cluster."""
        return ""

    def problems(self, request: Request) -> Iterator[tuple[str, str]]:
        """Of the partition, its nodes and its time limit, where sinfo tells them."""
        if not self.site.scratch.startswith("$") and len(self.site.scratch) > MAX_SCRATCH:
            yield "slurm.scratch", f"expected a path of at most {MAX_SCRATCH} characters, for Ray's sockets"
        if not is_here("sinfo"):
            return
        known = _partitions()
        name = self.site.partition or next((one for one, is_default, *_ in known if is_default), None)
        if name is None or name not in {one for one, *_ in known}:
            names = [one for one, *_ in known]
            found = f"found {name}" if name else "the site has no default"
            yield (
                "--partition",
                f"expected a partition of this cluster ({', '.join(names)}); {found}{did_you_mean(name or '', names)}",
            )
            return
        nodes = sum(count for one, _, count, _ in known if one == name)
        longest = max((limit for one, _, _, limit in known if one == name), default=None)
        if self.site.nodes > nodes:
            yield "--nodes", f"partition {name} has {nodes}; found {self.site.nodes}"
        if longest is not None and request.seconds is not None and request.seconds > longest:
            yield "--time", f"partition {name} allows at most {duration(longest)}; found {self.site.time}"

    def remarks(self, request: Request) -> Iterator[str]:
        """That nothing was asked of Slurm where it is not here."""
        if not is_here("sinfo"):
            yield "there is no sinfo on this machine: partition, nodes and time were not checked"

    def text(self, request: Request) -> str:
        """A script of bash for sbatch."""
        return "\n".join([*self._head(request), "", *self._setup(request), "", *self._body(request), ""])

    def submit(self, file: Path, request: Request) -> str:
        """By sbatch; its number is the id."""
        return (
            output_of("sbatch", "--parsable", str(file), what="nothing was submitted").strip().split(";")[0]
        )

    def jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """By squeue, which forgets a job soon after its end; the jobs of an array count as one."""
        states: dict[str, dict[str, bool]] = {id: {} for id in ids}
        # Without a filter squeue refuses no id; with one it calls a job that is gone an error.
        asked = ("squeue", "--me", "--noheader", "--format=%F|%T|%r")
        for line in output_of(*asked, what="squeue").splitlines() if is_here("squeue") else ():
            id, state, reason = line.split("|", 2)
            if id in states:
                waits = state == "PENDING" and reason not in ("None", "")
                states[id][f"{state} ({reason})" if waits else state] = state in _ACTIVE
        return {id: Job(id, ", ".join(told), is_active=any(told.values())) for id, told in states.items()}

    def cancel(self, id: str) -> None:
        """By scancel: TERM to the launch, 30 s later KILL. What waits is taken out of the queue first.

        TERM goes to the batch shell alone: without it scancel would end the job's Ray beside the launch, which then
        may not come to its end, and in an object store its lease would keep others out.
        """
        what = f"job {id} was not cancelled"
        output_of("scancel", "--state=PENDING", id, what=what)
        output_of("scancel", "--state=RUNNING", "--batch", "--signal=TERM", id, what=what)

    def log(self, id: str) -> str | None:
        """In the submission's own file."""
        return None

    def _head(self, request: Request) -> Iterator[str]:
        site, task = self.site, "" if request.shards is None else "-%a"
        output = request.folder / f"{request.name}{task}.log"
        yield "#!/bin/bash"
        yield f"# {request.said}"
        yield "# Written by asyrp-sweep. May be edited: `sbatch` with this file submits it again."
        asked = {
            "job-name": request.study,
            "partition": site.partition,
            "account": site.account,
            "nodes": site.nodes,
            "ntasks-per-node": 1,
            "cpus-per-task": site.cpus_per_node,
            "gpus-per-node": site.gpus_per_node or None,
            "time": request.minutes,
            "array": None if request.shards is None else f"1-{request.shards}",
            "output": output,
            "open-mode": "append",
            "signal": f"B:USR1@{request.grace}",
        }
        for name, value in asked.items():
            if value is not None:
                yield f"#SBATCH --{name}={value}"
        yield "#SBATCH --no-kill"  # a lost node costs its trials an epoch, not the job
        if site.requeues:
            yield "#SBATCH --requeue"
        yield from (f"#SBATCH {option}" for option in site.options)

    def _setup(self, request: Request) -> Iterator[str]:
        site = self.site
        yield "set -u"
        yield "unset TMPDIR RAY_ADDRESS  # a long TMPDIR does not fit into the paths of Ray's sockets"
        yield "export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0  # else workers have the lowest priority"
        yield f"export {COMMAND_VARIABLE}={shlex.quote(request.said)}"
        yield f'SCRATCH="{site.scratch}"  # on every node'
        yield from site.setup
        python = shlex.quote(site.python or sys.executable)
        yield f"PYTHON=({f'{site.container} ' if site.container else ''}{python})"
        launch = shlex.join(request.launch)
        if request.shards is not None:
            launch += f' --shard "$SLURM_ARRAY_TASK_ID/{request.shards}"'
        yield f'LAUNCH=("${{PYTHON[@]}}" -m orchestrator.cli {launch})'

    def _body(self, request: Request) -> Iterator[str]:
        if self.site.nodes == 1:
            yield 'export TMPDIR="$SCRATCH"'
            yield 'LAUNCH+=(--cpus "$SLURM_CPUS_ON_NODE")'
        else:
            task = "" if request.shards is None else '-"$SLURM_ARRAY_TASK_ID"'
            log = shlex.quote(str(request.folder / request.name)) + task
            yield _CLUSTER.format(log=log, requeues=self.site.requeues)
        if request.minutes is not None:
            yield f'LAUNCH+=(--time-limit "$(({60 * request.minutes} - SECONDS))s")  # what is left of the job'
        yield _ENDING.format(code=GO_ON, requeues=self.site.requeues)


def _partitions() -> list[tuple[str, bool, int, float]]:
    """(name, whether it is the default, nodes, longest time of a job in seconds) by sinfo."""
    found = []
    listed = output_of("sinfo", "--noheader", "--format=%P|%D|%l", what="the partitions cannot be listed")
    for line in listed.splitlines():
        name, nodes, limit = line.strip().split("|")
        found.append((name.rstrip("*"), name.endswith("*"), int(nodes), _seconds(limit)))
    return found


def _seconds(limit: str) -> float:
    """Slurm's `days-hours:minutes:seconds`, of which the first parts may be missing; `infinite` too."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return float("inf")
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds + 86400 * int(days or 0)


# A token keeps other users of the machines out. Ports other than the head's are left to the system: the usual ranges
# hold those of Slurm itself, and of other jobs on the node.
_CLUSTER = """\
LOG={log}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n')
mapfile -t NODES < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
IP=$(hostname -I | cut -d ' ' -f 1)  # this script runs on the first node
PORT=$("${{PYTHON[@]}}" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
RAY=("${{PYTHON[@]}}" -m ray.scripts.scripts start --num-cpus "$SLURM_CPUS_ON_NODE" --min-worker-port 0
     --max-worker-port 0 --object-store-memory 100000000 --block)
FOLDER="$SCRATCH/r$SLURM_JOB_ID"  # and the node's number: $SCRATCH may be shared
srun -N1 -n1 -w "${{NODES[0]}}" "${{RAY[@]}}" --temp-dir "$FOLDER.0" \\
  --head --node-ip-address "$IP" --port "$PORT" --include-dashboard false \\
  >"$LOG-ray-${{NODES[0]}}.log" 2>&1 & STEPS=($!)
until (exec 3<>"/dev/tcp/$IP/$PORT") 2>/dev/null; do
  kill -0 "${{STEPS[0]}}" || {{ echo "Ray's head did not start: $LOG-ray-${{NODES[0]}}.log"; exit 1; }}
  sleep 0.5
done
# --no-kill leaves the other nodes to a job whose first one, with this script, is lost: one of them starts it again.
WITHOUT_FIRST='"${{@:2}}"
  until LEFT=$(squeue --noheader --job "$SLURM_JOB_ID" --format %N) && [ -n "$LEFT" ] &&
      ! scontrol show hostnames "$LEFT" | grep -qx "$1"; do sleep 30; done
  [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ] && scontrol requeue "$SLURM_JOB_ID" || scancel "$SLURM_JOB_ID"'
for ((I = 1; I < ${{#NODES[@]}}; I++)); do
  srun -N1 -n1 -w "${{NODES[I]}}" bash -c "$WITHOUT_FIRST" bash "${{NODES[0]}}" "${{RAY[@]}}" \\
    --temp-dir "$FOLDER.$I" --address "$IP:$PORT" >"$LOG-ray-${{NODES[I]}}.log" 2>&1 & STEPS+=($!)
done
for _ in {{1..240}}; do  # two minutes; what comes later is used by the next launch
  [ "$(grep -ls 'Ray runtime started' "$LOG"-ray-*.log | wc -l)" -ge "${{#NODES[@]}}" ] && break
  sleep 0.5
done
LAUNCH+=(--address "$IP:$PORT")"""

# Slurm signals the batch shell alone, and a wait returns at a signal before the launch has ended.
_ENDING = """\
"${{LAUNCH[@]}}" & RUNNING=$!
trap 'kill -TERM $RUNNING; (sleep 30; kill -KILL $RUNNING 2>/dev/null) & KILLER=$!' TERM
trap 'kill -USR1 $RUNNING' USR1
wait $RUNNING; CODE=$?
while kill -0 $RUNNING 2>/dev/null; do wait $RUNNING; CODE=$?; done
for STEP in "${{STEPS[@]:-}}" "${{KILLER:-}}"; do [ -n "$STEP" ] && kill "$STEP" 2>/dev/null; done
wait
for NODE in "${{NODES[@]:-}}"; do  # a step that is ended is killed at once, and cannot tidy up
  [ -n "$NODE" ] && timeout 30 srun -N1 -n1 -w "$NODE" bash -c 'rm -rf "$0".*' "$FOLDER" &
done
wait
[ $CODE -eq {code} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ] && scontrol requeue "$SLURM_JOB_ID"
exit $CODE"""
