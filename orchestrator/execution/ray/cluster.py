"""Whether a cluster can be joined, what fits on it, whether it still answers: what can be said of one without Ray."""

import math
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import Event
from typing import Any

from orchestrator.execution.contract import BackendError
from orchestrator.ledger.threads import beside
from orchestrator.space.execution import ExecutionConfig

CONNECT_SECONDS = 10.0
GONE_SECONDS = 15.0
"""A head that has not answered for so long is gone; a shorter silence may be the network's."""
_LOOK_SECONDS = 1.0
LOCAL = "local"
"""The address of a Ray that is started on this machine for one launch."""
OBJECT_STORE_BYTES = 100_000_000
"""Trials travel through files: by default Ray would set aside 30 % of the memory, which Docker's /dev/shm has not."""
SHARED_MEMORY = "/dev/shm"

Node = Mapping[str, float]
"""What a machine offers, such as {"CPU": 2.0}."""


def check_address(address: str, ray_version: str) -> None:
    """Refuse an address where nothing listens: Ray itself goes on trying for longer than eight minutes."""
    if address.startswith("ray://"):
        raise BackendError(
            f"{address} is a Ray Client address; run this on a machine of the cluster with --address auto, "
            "or give the address of the head node itself, such as 10.0.0.1:6379"
        )
    if address.startswith(("http://", "https://")):
        raise BackendError(
            f"{address} (--address or RAY_ADDRESS) is where jobs are submitted, not the cluster itself; give the "
            "address of its head node, such as 10.0.0.1:6379, or unset RAY_ADDRESS to use this machine alone"
        )
    if ":" not in address:
        return
    try:
        _connect(address, CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise BackendError(why_not_connected(address, error, ray_version)) from error


def why_not_connected(address: str, error: Exception, ray_version: str) -> str:
    """What to tell somebody whose cluster could not be joined."""
    if address == LOCAL:
        return f"Ray could not be started on this machine: {error}"
    return (
        f"no Ray cluster could be joined at address {address!r}: {error}\n"
        f"This is Ray {ray_version}; the cluster must run the same version of Ray and Python. "
        "Leave --address out, and RAY_ADDRESS unset, to use this machine alone."
    )


def has_room(execution: ExecutionConfig, nodes: Sequence[Node]) -> bool:
    """Whether a trial fits on a machine of the cluster: it lives on one."""
    wanted = wanted_of(execution)
    return any(all(node.get(kind, 0) >= amount for kind, amount in wanted.items()) for node in nodes)


def wanted_of(execution: ExecutionConfig) -> dict[str, float]:
    """What a trial asks of a machine."""
    wanted = {"CPU": float(execution.cpus_per_trial), "GPU": execution.gpus_per_trial}
    return {kind: amount for kind, amount in wanted.items() if amount > 0}


def room_asked_for(execution: ExecutionConfig, nodes: Sequence[Node]) -> str:
    """What a trial asks for, and what there is."""
    cpus, gpus = (max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU"))
    return (
        f"a trial asks for {execution.cpus_per_trial:g} CPUs and {execution.gpus_per_trial:g} GPUs "
        "(execution.cpus_per_trial, execution.gpus_per_trial), but no machine here has that: at most "
        f"{cpus:g} CPUs and {gpus:g} GPUs"
    )


def num_slots(execution: ExecutionConfig, nodes: Sequence[Node], num_trials: int = sys.maxsize) -> int:
    """How many of these trials the machines hold at a time."""
    slots = 0
    for node in nodes:
        fitting = node.get("CPU", 0) / execution.cpus_per_trial
        if execution.gpus_per_trial > 0:
            fitting = min(fitting, node.get("GPU", 0) / execution.gpus_per_trial)
        slots += math.floor(fitting)
    return max(1, min(slots, num_trials))


def watching_head(
    address: str, tell: Callable[[str], None], patience: float = GONE_SECONDS
) -> AbstractContextManager[None]:
    """Look at a cluster's head, at HOST:PORT, from a thread, and tell once, there, when it is gone.

    Without it, calls of Ray do not return, and after a minute Ray ends the process without a word.
    """

    def watch(over: Event) -> None:
        if not _answers(address):  # Ray reaches it in another way than this does.
            return
        heard_at = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            if _answers(address):
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= patience:
                tell(
                    f"Ray's head at {address} has not answered for {patience:g} s, so there is no cluster any more"
                )
                return

    return beside(watch, "head watch")


def _answers(address: str) -> bool:
    try:
        _connect(address, _LOOK_SECONDS)
    except OSError:
        return False
    return True


def _connect(address: str, seconds: float) -> None:
    """Raises OSError where nothing listens, ValueError where that is no HOST:PORT."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=seconds).close()


def job_client(address: str) -> Any:
    """A `JobSubmissionClient` of a cluster's dashboard. Raises what Ray raises where nobody answers."""
    from ray.job_submission import JobSubmissionClient  # a second of imports

    return JobSubmissionClient(address)
