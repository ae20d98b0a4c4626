"""Which machines a cluster has, and which of them have left it while a launch was at work."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def _name(node: Mapping[str, Any]) -> str:
    """Machines may share a name, as containers do: the address tells them apart."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
