"""A trial of a command after an interruption: its checkpoint, its log and its folder."""

import json
import math
from pathlib import Path

import pytest
from command_trials import FOREVER, GOOD, Build, failure, folder_of, run, steps_to

from trainables.command.folders import RunFolder

# How it goes on

RESUMING = """
import json, os, sys
folder = sys.argv[1]
state = os.path.join(folder, "checkpoint")
done = int(open(state).read()) if os.path.exists(state) else 0
curve = open(folder + "/curve.jsonl", MODE)
for epoch in range(done + 1, 5):
    print(json.dumps({"epoch": epoch, "loss": 1 / epoch, "run": done}), file=curve, flush=True)
    if epoch == 3 and done == 0:
        curve.write('{"epoch"'); curve.flush()
        import time; time.sleep(60)
    if epoch != 3: open(state, "w").write(str(epoch))
json.dump({"accuracy": 1}, open(folder + "/metrics.json", "w"))
"""


@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_an_interrupted_script_goes_on_from_its_own_checkpoint(
    build: Build, tmp_path: Path, mode: str, has_checkpoint: bool
) -> None:
    source = RESUMING.replace("MODE", repr(mode))
    first = build(source, resume=True)
    steps_to(first, epoch=3)
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    del first

    second = build(source, resume=True)
    if has_checkpoint:
        second.load_checkpoint(tmp_path / "checkpoint", json.loads(json.dumps(rows)))
        assert second.epoch == 3
    result = run(second)

    assert [(row["epoch"], row["run"]) for row in result.curves] == [(1, 0), (2, 0), (3, 2), (4, 2)]


@pytest.mark.parametrize(("weights", "runs"), [("parent", [0, 0, 2, 2]), ("another", [0, 0, 0, 0])])
def test_an_interrupted_child_goes_on_beside_its_parent_and_begins_anew_beside_another(
    build: Build, tmp_path: Path, weights: str, runs: list[int]
) -> None:
    go, model, moved = tmp_path / "go", tmp_path / "model", tmp_path / "moved"
    source = RESUMING.replace("MODE", "'a'").replace("""curve.write('{"epoch"'); curve.flush()""", "")
    source = source.replace("time.sleep(60)", f"time.sleep(0 if os.path.exists({str(go)!r}) else 60)")
    warm = {"resume": True, "init": {"from": {"cell": "small"}}}
    model.write_text("parent")
    first = build(source, start_from=model, **warm)
    steps_to(first, epoch=3)
    del first

    go.touch()
    moved.write_text(weights)
    second = build(source, start_from=moved, **warm)

    assert [row["run"] for row in run(second).curves] == runs


def test_a_log_that_was_not_looked_for_meanwhile_is_read_at_the_end(build: Build) -> None:
    trial = build()
    trial._look_again = math.inf  # as after a search among very many files

    assert [row["loss"] for row in run(trial).curves] == [4.0, 2.0]


def test_without_resume_the_folder_is_empty_at_each_start(build: Build, tmp_path: Path) -> None:
    source = RESUMING.replace("MODE", "'a'").replace("done == 0", "done == 99")
    first = build(source + FOREVER)
    steps_to(first, epoch=4)
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    del first

    second = build(source)
    second.load_checkpoint(tmp_path / "checkpoint", rows)

    assert second.epoch == 0
    assert [row["run"] for row in run(second).curves] == [0.0] * 4


def test_a_broken_log_of_an_interrupted_run_fails_the_trial_once(build: Build) -> None:
    source = RESUMING.replace("MODE", "'a'")
    first = build(source, resume=True)
    steps_to(first, epoch=3)
    (folder_of(first) / "curve.jsonl").write_text("nonsense\n")
    del first

    assert "curve.jsonl:1 is not JSON" in failure(build(source, resume=True))

    again = build(source.replace("done == 0", "done == 99"), resume=True)
    assert [row["run"] for row in run(again).curves] == [0.0] * 4


def test_a_closed_trial_leaves_the_folder_to_the_next_one(build: Build) -> None:
    first = build()
    run(first)
    first.close()
    second = build(GOOD + FOREVER)
    steps_to(second, epoch=2)

    del first

    assert folder_of(second).is_dir()


def test_a_folder_in_use_is_never_shared(build: Build) -> None:
    first = build(GOOD + FOREVER, grace_seconds=0.0)
    steps_to(first, epoch=2)
    second = build(GOOD + FOREVER, grace_seconds=0.0)
    second._take_place = lambda: RunFolder.take(second._cache_dir, folder_of(first).parent.name, 0.1)

    steps_to(second, epoch=2)

    assert folder_of(second) != folder_of(first)
    assert second._notes == [
        f"another process uses the usual folder of this trial; it runs in {folder_of(second).parent}"
    ]


def test_a_failed_trial_starts_anew_even_where_it_could_go_on(build: Build) -> None:
    source = RESUMING.replace("MODE", "'a'").replace("done == 0", "done == 99")
    failure(build(source + "raise SystemExit(1)", resume=True))

    assert [row["run"] for row in run(build(source, resume=True)).curves] == [0.0] * 4


def test_a_checkpoint_of_an_ended_command_has_its_results(build: Build, tmp_path: Path) -> None:
    source = (
        GOOD + "open(folder + '/model', 'w').write('weights'); open(folder + '/note.png', 'w').write('hello')"
    )
    keep = {"samples": ["*.png"], "model": "model"}
    first = build(source, keep=keep)
    while not first.is_done:
        first.step()
    first.save_checkpoint(tmp_path / "checkpoint")
    rows = list(first.checkpoint_rows(0))
    expected = first.finish()
    place = folder_of(first).parent
    del first
    assert not place.exists()

    second = build(source, keep=keep)
    second.load_checkpoint(tmp_path / "checkpoint", rows)
    second.save_model(tmp_path / "model")

    place.mkdir()  # As it is where the first worker was killed before it could clear it away.
    assert second.is_done
    assert second.finish() == expected
    assert not place.exists()
    assert (tmp_path / "model").read_text() == "weights"
