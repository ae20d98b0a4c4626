"""Which machines a cluster has, which have left it while a launch was at work, and for which a launch has asked."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray.ready import request_resources

SECONDS_BETWEEN_LOOKS = 2.0

Look = Callable[[], Sequence[Mapping[str, Any]]]
"""What `ray.nodes` gives: every machine that there is or was, with `NodeID`, `Alive`, its name and its address."""


class Machines:
    """The machines of a cluster, looked at now and then."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._next_look = clock()
        self._alive: set[str] = set()
        self._names: dict[str, str] = {}

    def lost(self) -> list[str]:
        """Names of the machines that were there at an earlier look and are not any more."""
        if self._clock() < self._next_look:
            return []
        self._next_look = self._clock() + SECONDS_BETWEEN_LOOKS
        nodes = self._look()
        self._names |= {node["NodeID"]: _name(node) for node in nodes}
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        gone = self._alive - alive
        self._alive = alive
        return sorted(self._names[node] for node in gone)


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask(0)

    def settle(self) -> None:
        """Ask for as many places as there are trials left."""
        self._ask(min(self._most, self._queue.count("ready", "waiting", "running")))

    def _ask(self, count: int) -> None:
        if count != self._asked:
            request_resources(bundles=[self._of_a_trial] * count)
            self._asked = count


def _name(node: Mapping[str, Any]) -> str:
    """Machines may share a name, as containers do: the address tells them apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
