"""Which machines a cluster has, which have left it or killed trials while a launch was at work, and for which a launch
has asked."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.cluster import Node
from orchestrator.execution.ray.ready import (
    PlacementGroupResourceManager,
    ResourceRequest,
    placement_group,
    request_resources,
)

SECONDS_BETWEEN_LOOKS = 2.0
MOST_DEATHS = 2
"""So many workers that died on a machine, and no trial that finished in between: it is not asked for a while."""
AVOID_SECONDS = 600.0
SPARE_SECONDS = 1.0
"""How long room that was given back is kept."""
NODE_LABEL = "ray.io/node-id"
"""Ray's own label of every machine."""

Look = Callable[[], Sequence[Mapping[str, Any]]]
"""What `ray.nodes` gives: every machine that there is or was, with `NodeID`, `Alive`, `Resources`, name and address."""


class Machines:
    """The machines of a cluster, looked at now and then, each by its id."""

    def __init__(
        self,
        look: Look,
        has_room: Callable[[Node], bool] = lambda node: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`has_room` says whether a machine holds a trial; the clock counts from 1970."""
        self._look = look
        self._has_room = has_room
        self._clock = clock
        self._next_look = clock()
        self._alive: set[str] = set()
        self._roomy: set[str] = set()
        self._names: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        """Workers that died on a machine since a trial finished there."""
        self._until: dict[str, float] = {}
        """Until when a machine that has killed trials is not asked."""

    def lost(self) -> list[str]:
        """Names of the machines that were there at an earlier look and are not any more."""
        if self._clock() < self._next_look:
            return []
        self._next_look = self._clock() + SECONDS_BETWEEN_LOOKS
        nodes = self._look()
        self._names |= {node["NodeID"]: _name(node) for node in nodes}
        alive = {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}
        self._roomy = {node for node, offer in alive.items() if self._has_room(offer)}
        gone, self._alive = self._alive - alive.keys(), set(alive)
        return sorted(self._names[node] for node in gone)

    def worker_died(self, node: str) -> str | None:
        """A worker died on a machine; what to say where it was one too many."""
        self._deaths[node] += 1
        is_known = node in self._alive and self._until.get(node, 0.0) <= self._clock()
        if not is_known or self._deaths[node] < MOST_DEATHS:
            return None
        self._until[node] = self._clock() + AVOID_SECONDS
        told = f"{self._deaths[node]} workers died on {self._names[node]}, and no trial finished there in between"
        if node in self.avoided():
            return f"{told}; no worker is started there before {_time(self._until[node])}"
        return f"{told}; no other machine has room for a trial, so it is asked again all the same"

    def trial_finished(self, node: str) -> None:
        """A trial finished on a machine."""
        self._deaths.pop(node, None)

    @property
    def has_deaths(self) -> bool:
        """Whether it matters where trials finish."""
        return bool(self._deaths)

    def avoided(self) -> dict[str, str]:
        """Machines that are not asked now, each with what to say of it; none where no other one holds a trial."""
        now = self._clock()
        killers = {node for node, until in self._until.items() if until > now and node in self._alive}
        if self._roomy <= killers:
            return {}
        return {node: f"{self._names[node]} before {_time(self._until[node])}" for node in sorted(killers)}


class RoomForTrials(PlacementGroupResourceManager):
    """Gets Tune the room that it asks for, elsewhere than on machines that are avoided.

    Tune asks for room for every trial, and gives it back when a worker becomes free first, which takes the trial. What
    it gives back is kept for a moment: the next trial asks for the same, and making a placement group and removing it
    costs more than all that a trial without work does.
    """

    _avoided: frozenset[str] = frozenset()

    def __init__(self, update_interval_s: float = 0.1) -> None:
        super().__init__(update_interval_s)
        self._spare: Counter[ResourceRequest] = Counter()
        """What was given back and is still asked for."""
        self._given_back_at = 0.0

    def avoid(self, nodes: Collection[str], wanted: Sequence[ResourceRequest]) -> None:
        """From now on ask elsewhere; also for what has been asked for and is not in use yet, as listed."""
        if self._avoided == frozenset(nodes):
            return
        self._avoided = frozenset(nodes)
        self._drop_spare()
        for request in wanted:
            super().cancel_resource_request(request)
        for request in wanted:
            self.request_resources(request)

    def request_resources(self, resource_request: ResourceRequest) -> None:
        """Ask for room."""
        if self._spare[resource_request]:
            self._spare[resource_request] -= 1
            return
        super().request_resources(
            _Elsewhere(resource_request, self._avoided) if self._avoided else resource_request
        )

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        """Ask for it no more, soon."""
        self._spare[resource_request] += 1
        self._given_back_at = time.monotonic()

    def settle(self) -> None:
        """Let go of what was given back and has not been asked for again."""
        if self._spare.total() and time.monotonic() - self._given_back_at > SPARE_SECONDS:
            self._drop_spare()

    def _drop_spare(self) -> None:
        for request in self._spare.elements():
            super().cancel_resource_request(request)
        self._spare.clear()


class _Elsewhere(ResourceRequest):
    """A request that equals the one it is made of, but asks on other machines than these."""

    def __init__(self, request: ResourceRequest, avoided: Collection[str]) -> None:
        super().__init__(request.bundles, request.strategy)
        self._avoided = sorted(avoided)

    def to_placement_group(self) -> Any:
        """Ask."""
        others = {NODE_LABEL: f"!in({','.join(self._avoided)})"}
        return placement_group(self.bundles, self.strategy, bundle_label_selector=[others])


class AskedRoom:
    """What an autoscaler is asked for: room for the trials that are left, for a number of them at most.

    It holds what it was asked for until it is asked for something else.
    """

    def __init__(self, queue: TrialQueue, of_a_trial: Mapping[str, float], most: int) -> None:
        self._queue = queue
        self._of_a_trial = dict(of_a_trial)
        self._most = most
        self._asked = 0

    def __enter__(self) -> "AskedRoom":
        self.settle()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ask(0)

    def settle(self) -> None:
        """Ask for as many places as there are trials left."""
        self._ask(min(self._most, self._queue.count("ready", "waiting", "running")))

    def _ask(self, count: int) -> None:
        if count != self._asked:
            request_resources(bundles=[self._of_a_trial] * count)
            self._asked = count


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}Z"


def _name(node: Mapping[str, Any]) -> str:
    """Machines may share a name, as containers do: the address tells them apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
