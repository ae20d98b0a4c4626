"""Logs of other programs while trials run: they hold what an export holds, and nothing they do stops a launch."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from own_readers import read_runs
from searches import FEW

from analysis.export import export, live_logs
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.search.running import run_search
from orchestrator.study import listening
from orchestrator.study.launch import Study, open_study
from orchestrator.study.listening import Listening, Opening
from orchestrator.study.runner import RunOptions, run_missing
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise

REPOSITORY = Path(__file__).parents[2]
FAKE_TRIALS = Path(__file__).with_name("fake_trials.py")
LAUNCH = Path(__file__).with_name("launch.py")
Launch = Callable[..., Study]


class Recorder:
    """Keeps the names of events; raises at one of them."""

    def __init__(self, events: list[str], fails_at: str = "") -> None:
        self.events = events
        self._fails_at = fails_at

    def _take(self, event: str) -> None:
        if event == self._fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.events.append(event)

    def started(self, trial: Mapping[str, Any]) -> None:
        self._take("started")

    def epoch(self, signature: str, metrics: Mapping[str, float]) -> None:
        self._take(f"epoch {metrics['epoch']:g}")

    def ended(self, record: Mapping[str, Any]) -> None:
        self._take(f"ended {record['status']}")

    def close(self) -> None:
        self._take("close")


@pytest.fixture
def launch(space_file: Path, tmp_path: Path, display: Any) -> Launch:
    """Run the test space, four trials of two epochs, with listeners."""

    def run(
        listeners: Mapping[str, Opening],
        trial: str = "FakeTrial",
        address: str | None = None,
        **options: Any,
    ) -> Study:
        study = open_study(load_space(space_file, **options), tmp_path / "results")
        chosen = RunOptions(
            inline=address is None,
            address=address,
            trial_class=f"fake_trials:{trial}",
            extra_modules=(FAKE_TRIALS,),
            listeners=listeners,
        )
        run_missing(study, chosen, display)
        return study

    return run


def tree_of(folder: Path) -> dict[str, str]:
    """What is read of a folder: events that came while a trial went on are replaced by those of the whole trial."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".live")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def statuses(study: Study) -> list[str]:
    return sorted(record["status"] for record in Ledger(study.ledger_folder).records())


def test_listeners_hear_of_every_trial_in_order(launch: Launch) -> None:
    events: list[str] = []

    launch({"recorder": lambda folder: Recorder(events)}, "FailingTrial")

    good, bad = ["started", "epoch 1", "epoch 2", "ended done"], ["started", "ended failed"]
    assert events == [*good, *good, *bad, *bad, "close"]


@pytest.mark.parametrize("fails_at", ["open", "started", "epoch 2", "ended done", "close"])
def test_a_listener_that_raises_is_told_of_once_and_stops_nothing(
    launch: Launch, display: Any, fails_at: str
) -> None:
    events: list[str] = []

    def open_failing(folder: Path) -> Recorder:
        if fails_at == "open":
            raise OSError(errno.EACCES, "Permission denied", str(folder))
        return Recorder([], fails_at)

    study = launch({"broken": open_failing, "sound": lambda folder: Recorder(events)})

    assert statuses(study) == ["done"] * 4
    (told,) = [line for line in display.lines if "broken" in line]
    assert told.startswith("the log to broken ended: ")
    assert told.endswith("trials go on, and asyrp-sweep export writes it later")
    assert events[-1] == "close"
    assert events.count("ended done") == 4


def test_a_listener_that_hangs_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 0.05)
    lines: list[str] = []
    go_on = threading.Event()

    class Hanging(Recorder):
        def ended(self, record: Mapping[str, Any]) -> None:
            go_on.wait()

    told = Listening(lines.append)
    with told.to({"slow": lambda folder: Hanging([])}, Path()):
        told.tell("ended", {"status": "done"})
    go_on.set()

    assert lines == ["the log to slow does not answer; the study is complete without it"]


@pytest.mark.parametrize("trial", ["FakeTrial", "FailingTrial"])
def test_after_a_launch_the_log_is_what_an_export_is(launch: Launch, tmp_path: Path, trial: str) -> None:
    study = launch(live_logs(["tensorboard"]), trial)

    export(study.folder, "tensorboard", tmp_path / "out")

    assert tree_of(study.folder / "tensorboard") == tree_of(tmp_path / "out")


def test_on_ray_a_log_is_the_same_and_one_that_fails_stops_nothing(
    ray_cluster: str, launch: Launch, display: Any, tmp_path: Path
) -> None:
    broken = {"broken": lambda folder: Recorder([], "epoch 2")}

    study = launch({**broken, **live_logs(["tensorboard"])}, address=ray_cluster)

    export(study.folder, "tensorboard", tmp_path / "out")
    assert tree_of(study.folder / "tensorboard") == tree_of(tmp_path / "out")
    assert statuses(study) == ["done"] * 4
    (told,) = [line for line in display.lines if "broken" in line]
    assert "No space left on device" in told


def test_on_ray_wandb_gets_a_run_for_every_trial(ray_cluster: str, space_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asyrp-sweep[wandb]'")
    command = [sys.executable, str(LAUNCH), "FakeTrial", "run", str(space_file), "--address", ray_cluster]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}

    done = subprocess.run(  # W&B's threads and exit handlers are not for the process of all tests.
        [*command, "--results", "results", "--log-to", "wandb"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    runs = read_runs(tmp_path / "results" / "rates" / "wandb")
    assert {name: (run["group"], run["exit"]) for name, run in runs.items()} == {
        f"{cell}, seed {seed}": (cell, 0) for cell in ("baseline", "rate=0.01") for seed in (0, 1)
    }
    for run in runs.values():
        epochs = [row for row in run["history"] if "epoch/step" in row]
        assert [row["epoch/step"] for row in epochs] == [1, 2]
    assert not (tmp_path / "results" / "rates" / "wandb" / "live").exists()


def test_a_log_takes_in_what_was_done_without_it_and_outlives_retries(launch: Launch, tmp_path: Path) -> None:
    launch({}, "FailingTrial")
    launch(live_logs(["tensorboard"]), seeds="0,1,2")  # tries again what failed
    study = launch(live_logs(["tensorboard"]), seeds="0,1,2")  # nothing is missing

    export(study.folder, "tensorboard", tmp_path / "out")

    assert tree_of(study.folder / "tensorboard") == tree_of(tmp_path / "out")
    assert statuses(study) == ["done"] * 6


def test_an_interrupted_trial_leaves_the_epochs_that_it_has_trained(launch: Launch, tmp_path: Path) -> None:
    study = launch(live_logs(["tensorboard"]), "InterruptingTrial")
    left = [path.name for path in (study.folder / "tensorboard" / "baseline" / "seed=0").iterdir()]

    launch(live_logs(["tensorboard"]))
    export(study.folder, "tensorboard", tmp_path / "out")

    assert [name.endswith(".live") for name in left] == [True]
    assert tree_of(study.folder / "tensorboard") == tree_of(tmp_path / "out")
    assert statuses(study) == ["done"] * 4


@pytest.mark.parametrize("blocked", ["a file", "other files"])
def test_a_folder_that_cannot_be_written_is_told_once(
    launch: Launch, display: Any, tmp_path: Path, blocked: str
) -> None:
    place = tmp_path / "results" / "rates" / "tensorboard"
    launch({}, seeds="1")
    if blocked == "a file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "thesis.tex").write_text("mine")

    study = launch(live_logs(["tensorboard"]))

    assert statuses(study) == ["done"] * 4
    (told,) = [line for line in display.lines if "tensorboard" in line]
    assert "name another folder" in told or "is a file" in told


def test_a_search_logs_the_trials_that_it_asks_for(
    tmp_path: Path, display: Any, summarise: Summarise
) -> None:
    file = tmp_path / "tune_goblin.yaml"
    file.write_text(FEW)
    study = open_study(load_space(file, family=HSpace(summarise)), tmp_path / "results")
    options = RunOptions(
        inline=True, trial_class="fake_trials:TunedTrial", listeners=live_logs(["tensorboard"])
    )

    run_search(study, options, display)

    export(study.folder, "tensorboard", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.seeds"))) > 3
    assert tree_of(study.folder / "tensorboard") == tree_of(tmp_path / "out")
