"""Machines that leave a cluster are named once; room is asked for as many trials as are left."""

import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.ray import cluster
from orchestrator.execution.ray import machines as of_clusters
from orchestrator.execution.ray.cluster import watching_head
from orchestrator.execution.ray.machines import (
    AVOID_SECONDS,
    SECONDS_BETWEEN_LOOKS,
    SPARE_SECONDS,
    AskedRoom,
    Machines,
    RoomForTrials,
)
from orchestrator.execution.ray.tune import last_words
from orchestrator.execution.tasks import TrialTask


def node(number: int, *, is_alive: bool = True) -> dict[str, Any]:
    return {
        "NodeID": f"id-{number}",
        "Alive": is_alive,
        "NodeManagerHostname": f"node-{number}",
        "NodeManagerAddress": f"10.0.0.{number}",
        "Resources": {"CPU": 1.0},
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


def test_a_machine_where_workers_keep_dying_is_avoided_for_a_while() -> None:
    seen = [node(1), node(2)]
    now = [1_000_000_000.0]
    machines = Machines(lambda: seen, clock=lambda: now[0])

    def look() -> list[str]:
        now[0] += SECONDS_BETWEEN_LOOKS
        machines.lost()
        return list(machines.avoided().values())

    assert look() == []
    assert machines.worker_died("id-1") is None
    machines.trial_finished("id-1")
    assert machines.worker_died("id-1") is None  # One finished in between.
    assert look() == []
    told = machines.worker_died("id-1")
    assert told is not None
    assert told.startswith("2 workers died on node-1 (10.0.0.1), and no trial finished there in between")
    assert look() == ["node-1 (10.0.0.1) before 01:56:44Z"]
    assert machines.worker_died("id-1") is None  # One that was at work there already.
    seen[1] = node(2, is_alive=False)
    assert look() == []  # There is no other one.
    seen[1] = node(3)
    assert look() == ["node-1 (10.0.0.1) before 01:56:44Z"]
    now[0] += AVOID_SECONDS
    assert look() == []
    assert machines.worker_died("id-1") is not None


@pytest.mark.parametrize("others", [[], [node(2)]])
def test_the_only_machine_with_room_for_a_trial_is_asked_again_all_the_same(
    others: list[dict[str, Any]],
) -> None:
    seen = [node(1), *others]
    machines = Machines(lambda: seen, lambda offer: offer is seen[0]["Resources"], clock=lambda: 0.0)
    machines.lost()

    machines.worker_died("id-1")
    told = machines.worker_died("id-1")

    assert told is not None
    assert told.endswith("no other machine has room for a trial, so it is asked again all the same")
    assert machines.avoided() == {}


def test_a_head_is_gone_once_it_has_been_silent_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.01)
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with watching_head(f"127.0.0.1:{port}", told.append, patience=0.05):
            threading.Event().wait(0.2)
            assert told == []
            server.close()
            for _ in range(500):
                if told:
                    break
                threading.Event().wait(0.01)

    assert told == [
        f"Ray's head at 127.0.0.1:{port} has not answered for 0.05 s, so there is no cluster any more"
    ]


def test_room_is_asked_for_while_trials_are_left_and_never_for_more_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(of_clusters, "request_resources", lambda bundles: asked.append(len(bundles)))
    queue = TrialQueue([TrialTask(name, 1, name, 0, {}, {}) for name in "abc"])
    queue.limit = 2

    with AskedRoom(queue, {"CPU": 1.0}, most=2) as room:
        assert [queue.take() is not None for _ in range(3)] == [True, True, False]
        queue.mark_done("a")
        room.settle()
        assert queue.take() is not None
        queue.mark_done("b")
        room.settle()
        queue.mark_done("c")

    assert asked == [2, 1, 0]


def test_room_that_was_given_back_is_kept_for_the_next_trial_and_only_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    now = 0.0
    manager = of_clusters.PlacementGroupResourceManager
    monkeypatch.setattr(manager, "request_resources", lambda self, request: asked.append("+"))
    monkeypatch.setattr(manager, "cancel_resource_request", lambda self, request: asked.append("-"))
    monkeypatch.setattr(of_clusters.time, "monotonic", lambda: now)
    monkeypatch.setattr(manager, "clear", lambda self: None)
    room = RoomForTrials()

    for _ in range(3):  # Three trials, each taken by a worker that became free first.
        room.request_resources(of_clusters.ResourceRequest([{"CPU": 1}]))
        room.cancel_resource_request(of_clusters.ResourceRequest([{"CPU": 1}]))
        room.settle()
    assert asked == ["+"]

    room.request_resources(of_clusters.ResourceRequest([{"CPU": 2}]))
    now = SPARE_SECONDS + 1
    room.settle()
    room.settle()
    assert asked == ["+", "+", "-"]

    room.request_resources(of_clusters.ResourceRequest([{"CPU": 1}]))
    room.cancel_resource_request(of_clusters.ResourceRequest([{"CPU": 1}]))
    room.avoid({"id-1"}, [of_clusters.ResourceRequest([{"CPU": 2}])])
    assert asked[3:] == ["+", "-", "-", "+"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Failure # 1\nray.exceptions.OutOfMemoryError: killed, OOM\nsee the docs\n", "killed, OOM"),
        ("The actor died because of an error raised in its creation task, \x1b[36mx\x1b[39m\nOSError: full\n", "full"),
        (
            "ray.exceptions.ActorUnavailableError: The actor 1f54 is unavailable: It is temporarily unavailable: "
            "RpcError: RPC error: Socket closed rpc_code: 14. The task may or may not have been executed on the actor.",
            "its machine does not answer any more",
        ),
        ("Failure # 1 (occurred at 12:00)\nits node was lost\n", "its node was lost"),
        ("", "no reason known"),
    ],
)  # fmt: skip
def test_why_a_worker_died_is_the_telling_line_of_what_ray_says(
    tmp_path: Path, told: str, expected: str
) -> None:
    file = tmp_path / "error.txt"
    file.write_text(told)

    assert last_words(SimpleNamespace(error_file=file)).endswith(expected)
