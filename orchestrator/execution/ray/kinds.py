"""Which kinds of machines a joined cluster has for trials, and pilots on one of a kind."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.execution.contract import MachineKind
from orchestrator.execution.provenance import this_kind
from orchestrator.execution.ray.cluster import has_room, num_slots
from orchestrator.execution.ray.machines import NODE_LABEL
from orchestrator.execution.ray.ready import ray
from orchestrator.execution.tasks import WorkerSettings
from orchestrator.execution.worker import device_name, failure_reason, prepare_torch
from trainables.errors import UserError
from trainables.settings import Settings
from trainables.wording import duration

POLL_SECONDS = 0.1
FREE_SECONDS = 30.0
"""How long a machine may take to say what it is; on one that others use no trial would start either."""
PILOT_SECONDS = 600.0
"""How long a pilot may take: a price is not worth more."""


class JoinedMachines:
    """The contract of `JoinedCluster` on Ray. Machines are asked with what a trial asks for, so never one without."""

    def __init__(
        self, settings: WorkerSettings, nodes: Sequence[Mapping[str, Any]], check: Callable[[], None]
    ) -> None:
        """`nodes` is what `ray.nodes` tells; `check` raises Interrupted where the launch has to end meanwhile."""
        self._settings = settings
        self._check = check
        execution = settings.execution
        offers = {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}
        asked = {
            self._start(_kind, [node], settings.device): node
            for node, offer in offers.items()
            if has_room(execution, [offer])
        }
        found: dict[str, list[str]] = {}
        for reference in self._ended(list(asked), FREE_SECONDS):
            try:
                found.setdefault(ray.get(reference), []).append(asked[reference])
            except ray.exceptions.RayError:  # It has left, or cannot start a worker: trials will tell.
                continue
        self.kinds: Sequence[MachineKind] = [
            MachineKind(name, tuple(of_kind), num_slots(execution, [offers[node] for node in of_kind]))
            for name, of_kind in sorted(found.items())
        ]
        self.num_silent = len(asked) - sum(map(len, found.values()))

    def pilot(self, kind: MachineKind, config: Settings) -> Mapping[str, Any]:
        """Time a pilot on a machine of a kind, with what a trial has there."""
        pilot = self._start(_pilot, kind.nodes, config.model_dump(mode="json"), self._settings)
        for reference in self._ended([pilot], PILOT_SECONDS):
            try:
                found: Mapping[str, Any] = ray.get(reference)
                return found
            except ray.exceptions.RayError as error:
                raise UserError(failure_reason(getattr(error, "cause", None) or error)) from error
        raise UserError(f"it took longer than {duration(PILOT_SECONDS)}")

    def _start(self, function: Callable[..., Any], nodes: Sequence[str], *arguments: Any) -> Any:
        """Begin a task on one of these machines."""
        execution = self._settings.execution
        remote = ray.remote(function).options(
            num_cpus=execution.cpus_per_trial,
            num_gpus=execution.gpus_per_trial,
            max_retries=0,
            label_selector={NODE_LABEL: f"in({','.join(nodes)})"},
        )
        return remote.remote(*arguments)

    def _ended(self, pending: list[Any], seconds: float) -> Iterator[Any]:
        """Those of these tasks that end in so many seconds, as they do; the others are given up."""
        end = time.monotonic() + seconds
        try:
            while pending and time.monotonic() < end:
                self._check()
                ended, pending = ray.wait(pending, timeout=POLL_SECONDS)
                yield from ended
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)


def _kind(device: str) -> str:
    return this_kind(device_name(device))


def _pilot(config: Mapping[str, Any], settings: WorkerSettings) -> dict[str, Any]:
    prepare_torch(settings)
    family = settings.family.find()
    threads = settings.execution.threads_per_trial
    return family.pilot(family.Config.model_validate_json(json.dumps(config)), settings.device, threads)
