"""What checkpoints of unfinished trials may take, and what committed trials leave."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.checkpoint_quota import CheckpointQuota
from orchestrator.execution.checkpoints import CheckpointStore, DamagedCheckpoint, drop_committed
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError, Space
from orchestrator.space.units import bytes_of, size_of
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_missing

SIZE = 1000


def save(study_folder: Path, signature: str, epoch: int) -> None:
    store = CheckpointStore(study_folder, signature)
    store.claim()
    store.save(epoch, lambda folder: (folder / "weights").write_bytes(bytes(SIZE)) and None, {})


def kept(study_folder: Path) -> set[str]:
    return {
        f"{path.parent.name} {int(path.name[6:11])}" for path in study_folder.glob("checkpoints/*/epoch-*")
    }


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def quota(tmp_path: Path, notes: list[str]) -> CheckpointQuota:
    """Room for two checkpoints, of the trials a, b and c."""
    return CheckpointQuota(tmp_path, 3 * SIZE, {"a", "b", "c"}, notes.append)


def test_the_least_advanced_checkpoint_goes_first_and_is_named_once(
    tmp_path: Path, quota: CheckpointQuota, notes: list[str]
) -> None:
    for signature, epoch in (("a", 3), ("b", 1), ("c", 2), ("b", 2), ("a", 4)):
        save(tmp_path, signature, epoch)
        quota.saved(signature)

    assert kept(tmp_path) == {"a 4", "b 2"}
    assert [note.split(" (")[0] for note in notes] == [
        "checkpoints/b, epoch 1",
        "checkpoints/c, epoch 2",
    ]
    assert "was dropped to keep execution.checkpoint_quota (3 kB); its trial starts afresh" in notes[0]


def test_what_no_trial_of_the_launch_needs_goes_before_anything_else(
    tmp_path: Path, notes: list[str]
) -> None:
    for signature, epoch in (("a", 1), ("removed", 9), ("b", 2)):
        save(tmp_path, signature, epoch)
    (weights,) = (tmp_path / "checkpoints" / "b").glob("epoch-00002-*/weights")
    weights.write_bytes(b"x" * SIZE)
    with pytest.raises(DamagedCheckpoint):
        CheckpointStore(tmp_path, "b").newest()

    CheckpointQuota(tmp_path, 2 * SIZE, {"a", "b"}, notes.append)

    assert kept(tmp_path) == {"a 1"}
    assert not list((tmp_path / "checkpoints" / "damaged").iterdir())
    assert all("no trial of this launch needs it" in note for note in notes)


def test_a_forgotten_trial_makes_room(tmp_path: Path, quota: CheckpointQuota, notes: list[str]) -> None:
    for signature in ("a", "b"):
        save(tmp_path, signature, 1)
        quota.saved(signature)
    CheckpointStore(tmp_path, "a").remove()
    quota.forget("a")
    save(tmp_path, "c", 1)
    quota.saved("c")

    assert kept(tmp_path) == {"b 1", "c 1"}
    assert notes == []


def test_without_a_quota_nothing_is_dropped(tmp_path: Path, notes: list[str]) -> None:
    free = CheckpointQuota(tmp_path, None, {"a"}, notes.append)
    save(tmp_path, "a", 1)
    free.saved("a")

    assert kept(tmp_path) == {"a 1"}


def test_a_dropped_checkpoint_is_none_to_the_trial_that_asks_for_it(tmp_path: Path) -> None:
    save(tmp_path, "a", 1)
    store = CheckpointStore(tmp_path, "a")
    found = store.newest()
    assert found is not None

    store.drop()

    assert store.newest() is None
    assert "was dropped while it was read" in str(store.set_aside(found.folder, "gone"))
    save(tmp_path, "a", 2)
    assert kept(tmp_path) == {"a 2"}


def test_checkpoints_of_committed_trials_go_and_unfinished_ones_with_them(tmp_path: Path) -> None:
    for signature in ("done", "interrupted"):
        save(tmp_path, signature, 1)
    (tmp_path / "checkpoints" / "interrupted" / ".writing-0").mkdir()
    for folder in ("editors", "ledger"):
        (tmp_path / folder).mkdir()
    (tmp_path / "editors" / "done.safetensors").touch()
    half_written = (".study.json.0a.tmp", "ledger/.columns.json.0b.tmp", "editors/..a.safetensors.0c.tmp.0d")
    for name in half_written:
        (tmp_path / name).touch()

    drop_committed(tmp_path, {"done"})

    assert not any((tmp_path / name).exists() for name in half_written)

    (left,) = (tmp_path / "checkpoints").iterdir()
    assert {path.name.split("-")[0] for path in left.iterdir()} == {"epoch", "rows"}
    assert (tmp_path / "editors" / "done.safetensors").exists()


# In a launch


@pytest.fixture
def launch(space_file: Path, tmp_path: Path, display: Any) -> Callable[..., Space]:
    def run(trial: str, execution: str = "{}") -> Space:
        text = space_file.read_text().split("execution:")[0]
        space_file.write_text(f"{text}execution: {execution}\n")
        space = load_space(space_file)
        run_missing(
            open_study(space, tmp_path / "results"),
            RunOptions(inline=True, trial_class=f"fake_trials:{trial}"),
            display,
        )
        return space

    return run


def test_a_trial_whose_checkpoint_was_dropped_gives_the_same_editor(
    launch: Callable[..., Space], tmp_path: Path, display: Any, weights: Callable[[Path, str], list[int]]
) -> None:
    launch(
        "InterruptingTrial", "{checkpoint_quota: 1B}"
    )  # ends after an epoch, of which it keeps no checkpoint
    folder = tmp_path / "results" / "rates"
    assert kept(folder) == set()
    assert sum("checkpoint_quota" in line for line in display.lines) == 1

    launch("FakeTrial")

    records = Ledger(folder / "ledger").records()
    assert {record["status"] for record in records} == {"done"}
    assert not any("resumed" in note for record in records for note in record["notes"])
    assert {tuple(weights(folder, record["signature"])) for record in records} == {(0, 1), (1000, 1001)}
    assert list((folder / "checkpoints").iterdir()) == []


def test_a_checkpoint_that_a_killed_launch_left_of_a_done_trial_goes(
    launch: Callable[..., Space], tmp_path: Path
) -> None:
    launch("FakeTrial")
    folder = tmp_path / "results" / "rates"
    done = Ledger(folder / "ledger").records()[0]["signature"]
    save(folder, done, 2)

    launch("FakeTrial")

    assert list((folder / "checkpoints").iterdir()) == []
    assert (folder / "editors" / f"{done}.safetensors").exists()


# In a space


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2GiB", 2**31),
        ("500 MB", 5 * 10**8),
        ("1.5kB", 1500),
        (4096, 4096),
        ("4096", 4096),
        ("1TiB", 2**40),
    ],
)
def test_sizes_are_read_as_people_write_them(written: str | int, expected: int) -> None:
    assert bytes_of(written) == expected


def test_sizes_are_shown_with_a_unit() -> None:
    assert [size_of(number) for number in (999, 1500, 2**31)] == ["999 bytes", "1.5 kB", "2.15 GB"]


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        (
            "2 gigs",
            r"rates.yaml:\d+  execution.checkpoint_quota: expected a size such as 500MB or 2GiB; found '2 gigs'",
        ),
        ("0", r"execution.checkpoint_quota: expected a size .*; found 0"),
        ("[1]", r"execution.checkpoint_quota: expected .*; found a list"),
    ],
)
def test_a_quota_that_is_no_size_is_a_clear_error(space_file: Path, quota: str, message: str) -> None:
    space_file.write_text(f"{space_file.read_text()}execution: {{checkpoint_quota: {quota}}}\n")

    with pytest.raises(ConfigError, match=message):
        load_space(space_file)
