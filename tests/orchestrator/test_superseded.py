"""Two workers on one trial: the one that took it up last is the only one that writes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.execution.checkpoints import CheckpointStore, Superseded, drop_committed
from orchestrator.execution.models import model_path
from orchestrator.execution.tasks import TrialTask, WorkerSettings
from orchestrator.execution.worker import TrialRun
from orchestrator.ledger import Ledger

Make = Callable[..., TrialTask]
Settings = Callable[..., WorkerSettings]
EPOCHS = 3


@pytest.fixture
def settings(make_settings: Settings) -> WorkerSettings:
    return make_settings()


@pytest.fixture
def begin(settings: WorkerSettings, make_task: Make) -> Callable[[int], TrialRun]:
    """Take up the trial as a worker of an attempt would; every epoch's editor is kept."""

    def take(attempt: int) -> TrialRun:
        task = replace(make_task("a", seed=attempt, epochs=EPOCHS), attempt=attempt, keep_epochs=[1, 2])
        return TrialRun(task, settings)

    return take


def advance(run: TrialRun, steps: int) -> None:
    for _ in range(steps):
        run.advance()


def files_of(settings: WorkerSettings) -> dict[str, str]:
    """What the study's folder holds but for logs."""
    return {
        str(path.relative_to(settings.study_folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in settings.study_folder.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


@pytest.mark.parametrize("attempts", [(1, 2), (1, 1)])
@pytest.mark.parametrize("before", range(1, EPOCHS))
@pytest.mark.parametrize("between", range(1, EPOCHS + 1))
def test_an_older_worker_that_wakes_writes_nothing(
    begin: Callable[[int], TrialRun],
    settings: WorkerSettings,
    attempts: tuple[int, int],
    before: int,
    between: int,
) -> None:
    older, newer = map(begin, attempts)
    advance(older, before)
    for _ in range(between):
        if newer.advance().record is not None:
            break
    held = files_of(settings)

    with pytest.raises(Superseded, match="writes nothing more"):
        advance(older, EPOCHS)

    assert files_of(settings) == held


@pytest.mark.parametrize("writes", ["save_model", "save_checkpoint"])
@pytest.mark.parametrize("epochs", range(EPOCHS))
def test_a_worker_superseded_in_the_middle_of_a_write_leaves_all_as_it_was(
    begin: Callable[[int], TrialRun], settings: WorkerSettings, writes: str, epochs: int
) -> None:
    """The newer one runs from start to end while the older writes an editor or a checkpoint of its next epoch."""
    older, newer = begin(1), begin(2)
    older._trial = older._start()
    advance(older, epochs)
    write = getattr(older._trial, writes)
    held: dict[str, str] = {}

    def write_late(path: Path) -> None:
        write(path)
        while newer.advance().record is None:
            pass
        held.update(files_of(settings))

    setattr(older._trial, writes, write_late)

    with pytest.raises(Superseded):
        advance(older, EPOCHS)

    assert files_of(settings) == {name: digest for name, digest in held.items() if ".tmp" not in name}


def test_a_worker_of_an_older_attempt_cannot_take_the_trial_back(
    begin: Callable[[int], TrialRun], settings: WorkerSettings
) -> None:
    newer = begin(2)
    advance(newer, 1)
    held = files_of(settings)

    with pytest.raises(Superseded):
        begin(1).advance()

    assert files_of(settings) == held
    advance(newer, EPOCHS)


def test_a_worker_whose_trial_is_on_record_writes_nothing(
    begin: Callable[[int], TrialRun], settings: WorkerSettings
) -> None:
    late = begin(1)
    advance(late, 1)
    CheckpointStore(settings.study_folder, "a").remove()
    held = files_of(settings)

    with pytest.raises(Superseded):
        late.advance()

    assert files_of(settings) == held


def test_a_new_launch_supersedes_the_workers_of_a_killed_one_and_goes_on_from_their_checkpoint(
    begin: Callable[[int], TrialRun], settings: WorkerSettings
) -> None:
    orphan = begin(1)
    advance(orphan, 1)

    drop_committed(settings.study_folder, set())

    with pytest.raises(Superseded):
        orphan.advance()
    step = begin(1).advance()
    assert step.metrics["epoch"] == 2


def test_an_editor_of_other_bytes_is_kept_beside_the_one_that_replaces_it(
    begin: Callable[[int], TrialRun], settings: WorkerSettings
) -> None:
    first, second = begin(1), begin(2)
    advance(first, EPOCHS)
    path = model_path(settings.study_folder, "a")
    earlier = path.read_bytes()
    CheckpointStore(settings.study_folder, "a").remove()

    advance(second, EPOCHS)

    assert json.loads(path.read_text()) == [2000, 2001, 2002]
    kept = [file.read_bytes() for file in (path.parent / "replaced").glob("a-[0-9a-f]*.safetensors")]
    assert earlier in kept


def test_rows_of_both_attempts_stay_apart(begin: Callable[[int], TrialRun], settings: WorkerSettings) -> None:
    for attempt in (1, 2):
        advance(begin(attempt), EPOCHS)

    assert Ledger(settings.study_folder / "ledger").attempts() == {"a": [1, 2]}
