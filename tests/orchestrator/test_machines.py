"""Machines that leave a cluster are named once."""

from typing import Any

from orchestrator.execution.ray.machines import SECONDS_BETWEEN_LOOKS, Machines


def node(number: int, *, is_alive: bool = True) -> dict[str, Any]:
    return {
        "NodeID": f"id-{number}",
        "Alive": is_alive,
        "NodeManagerHostname": f"node-{number}",
        "NodeManagerAddress": f"10.0.0.{number}",
    }


def test_a_machine_that_leaves_is_named_once_and_one_that_was_never_there_not_at_all() -> None:
    seen = [node(1), node(2), node(3, is_alive=False)]
    now = [0.0]
    machines = Machines(lambda: seen, clock=lambda: now[0])

    def later() -> list[str]:
        now[0] += SECONDS_BETWEEN_LOOKS
        return machines.lost()

    assert later() == []
    seen[1] = node(2, is_alive=False)
    assert machines.lost() == []  # It looks now and then only.
    assert later() == ["node-2 (10.0.0.2)"]
    seen.append(node(4))
    assert later() == []
    del seen[0]
    assert later() == ["node-1 (10.0.0.1)"]
