"""Scripts for trials of a command, and the steps that several files of tests take with such a trial."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from trainables.command.trial import CommandTrial
from trainables.trials import TrialFailed, TrialResult

GOOD = """
import json, sys
folder, seed, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(folder + "/curve.jsonl", "w") as curve:
    for epoch in (1, 2):
        print(json.dumps({"epoch": epoch, "loss": width / epoch}), file=curve, flush=True)
json.dump({"accuracy": 0.5 + seed / 100, "num_parameters": 7}, open(folder + "/metrics.json", "w"))
"""
FOREVER = "import time; time.sleep(60)"
IGNORING = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
LEAVES_METRICS = (
    "import json, os; json.dump({'accuracy': 0.5}, open(os.environ['TRIAL_FOLDER'] + '/metrics.json', 'w'))\n"
)

Build = Callable[..., CommandTrial]


def run(trial: CommandTrial) -> TrialResult:
    while not trial.is_done:
        trial.step()
    return trial.finish()


def steps_to(trial: CommandTrial, *, epoch: int) -> dict[str, float]:
    """What the step that reaches an epoch gives."""
    while trial.epoch < epoch:
        metrics = trial.step()
    return metrics


def folder_of(trial: CommandTrial) -> Path:
    assert trial._run is not None
    return trial._run.place.folder


def failure(trial: CommandTrial) -> str:
    with pytest.raises(TrialFailed) as caught:
        run(trial)
    return str(caught.value)


def await_file(path: Path) -> str:
    """The content of a file that a script writes, once it is there."""
    ends = time.monotonic() + 50
    while not (path.is_file() and path.read_text().endswith("\n")):
        assert time.monotonic() < ends, f"{path} never came"
        time.sleep(0.01)
    return path.read_text()


def await_end(pid: int) -> None:
    ends = time.monotonic() + 50
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < ends, f"{process} is still running"
            time.sleep(0.01)
