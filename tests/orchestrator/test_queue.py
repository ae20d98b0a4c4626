from collections.abc import Callable

from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import TrialTask

Make = Callable[..., TrialTask]


def taken(queue: TrialQueue) -> list[str]:
    signatures = []
    while (task := queue.take()) is not None:
        signatures.append(task.signature)
    return signatures


def test_trials_without_parents_are_handed_out_in_plan_order(make_task: Make) -> None:
    queue = TrialQueue([make_task("b"), make_task("a"), make_task("c")])

    assert taken(queue) == ["b", "a", "c"]
    assert queue.is_handed_out
    assert not queue.is_finished


def test_a_child_waits_until_its_parent_is_done(make_task: Make) -> None:
    queue = TrialQueue([make_task("child", parent="parent"), make_task("parent")])

    assert taken(queue) == ["parent"]
    assert not queue.is_handed_out

    queue.mark_done("parent")

    assert taken(queue) == ["child"]


def test_a_parent_done_in_an_earlier_launch_is_not_waited_for(make_task: Make) -> None:
    queue = TrialQueue([make_task("child", parent="parent")], done={"parent"})

    assert taken(queue) == ["child"]


def test_a_failed_parent_skips_all_descendants_with_the_reason(make_task: Make) -> None:
    tasks = [make_task("a"), make_task("b", parent="a"), make_task("c", parent="b"), make_task("d")]
    queue = TrialQueue(tasks)
    taken(queue)

    queue.mark_failed("a", "the loss is NaN")
    skips = queue.new_skips()

    assert [task.signature for task, _ in skips] == ["b", "c"]
    assert all(reason == "its parent cell-a failed: the loss is NaN" for _, reason in skips)
    assert queue.new_skips() == []
    assert queue.running() == ["d"]


def test_a_parent_that_is_nowhere_skips_its_child_at_once(make_task: Make) -> None:
    queue = TrialQueue([make_task("child", parent="gone")])

    [(task, reason)] = queue.new_skips()

    assert task.signature == "child"
    assert "gone" in reason
    assert queue.is_finished


def test_the_queue_is_finished_when_every_trial_has_ended(make_task: Make) -> None:
    queue = TrialQueue([make_task("a"), make_task("b")])
    taken(queue)

    queue.mark_ended({"signature": "a", "status": "done", "reason": None})
    queue.mark_ended({"signature": "b", "status": "failed", "reason": "NaN"})

    assert queue.is_finished
    assert queue.count("done") == 1
    assert queue.count("failed") == 1


def test_a_task_survives_its_journey(make_task: Make) -> None:
    task = make_task("a", seed=3, parent="p")

    assert TrialTask.from_json(task.to_json()) == task
