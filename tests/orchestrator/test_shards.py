"""A study in shards: launches side by side that together do what one launch does, and nothing twice."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli import parser as cli
from orchestrator.ledger import Ledger, LedgerError, LedgerLock
from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from orchestrator.study import holding
from orchestrator.study.holding import Holding
from orchestrator.study.launch import Study, open_study
from orchestrator.study.runner import RunOptions, run_missing
from orchestrator.study.shards import Shard, share
from orchestrator.views import status
from orchestrator.views.progress import Progress, Row
from orchestrator.views.running_file import RunningFile

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
WARM_START = (HERE / "warm_start.yaml").read_text(encoding="utf-8").replace("domain: tiny", "domain: avatars")
PATIENCE_SECONDS = 280.0

Open = Callable[..., Study]


@pytest.fixture
def opened(space_file: Path, tmp_path: Path) -> Open:
    """The test space as a study, all of it or a shard, in a results folder of this name."""

    def of(shard: str | None = None, results: str = "results", **loading: Any) -> Study:
        options = cli.parsed(["run", str(space_file), *(() if shard is None else ("--shard", shard))])
        study = open_study(load_space(space_file, **loading), tmp_path / results)
        return replace(study, shard=options.shard)

    return of


def run(study: Study, display: Any) -> int:
    return run_missing(study, RunOptions(inline=True, trial_class="fake_trials:FakeTrial"), display).num_run


def told(study: Study) -> set[tuple[Any, ...]]:
    """What the ledger says of every trial that does not depend on when and where it ran."""
    names = ("signature", "cell", "seed", "status", "metric_counterfactual_gain")
    return {tuple(record[name] for name in names) for record in Ledger(study.ledger_folder).records()}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("text", [None, WARM_START], ids=["plain", "warm-start"])
def test_every_trial_is_in_one_shard_with_all_that_its_weights_come_from(
    space_file: Path, text: str | None, count: int
) -> None:
    space_file.write_text(text or space_file.read_text())
    plan = build_plan(load_space(space_file))

    shares = [share(plan, Shard(number, count)) for number in range(1, count + 1)]

    assert sorted(name for one in shares for name in one) == sorted({t.signature for t in plan.trials})
    assert all(any({t.signature, t.parent or t.signature} <= one for one in shares) for t in plan.trials)
    assert shares == [share(plan, Shard(number, count)) for number in range(1, count + 1)]


def test_shards_are_of_about_one_size(opened: Open) -> None:
    plan = opened(seeds="5").plan

    sizes = [len(share(plan, Shard(number, 3))) for number in (1, 2, 3)]

    assert sizes == [4, 3, 3]


def test_shards_one_after_the_other_leave_what_one_launch_does(opened: Open, display: Any) -> None:
    whole = opened(results="whole")
    run(whole, display)

    counts = [run(opened(f"{number}/3"), display) for number in (1, 2, 3)]

    assert sum(counts) == 4
    assert told(opened()) == told(whole)
    assert run(opened(), display) == 0


@pytest.fixture
def start(space_file: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def command(trial: str, *options: str) -> subprocess.Popen[str]:
        (tmp_path / "results" / "cache").mkdir(parents=True, exist_ok=True)
        line = [sys.executable, str(HERE / "launch.py"), trial, "run", str(space_file), "--inline"]
        process = subprocess.Popen(
            [*line, "--results", str(tmp_path / "results"), *options],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the other process never got there"
        threading.Event().wait(0.05)


def test_shards_run_side_by_side_and_a_killed_one_goes_on_while_another_is_at_work(
    opened: Open, display: Any, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    blocked = start("BlockedTrial", "--seeds", "3", "--shard", "1/2")
    wait_until(lambda: any(results.glob("cache/blocked-2-*")))

    others = opened("2/2", seeds="3")
    assert run(others, display) == 3
    with pytest.raises(LedgerError, match="shard 1/2: another launch is running this study"):
        run(opened("1/2", seeds="3"), display)
    with pytest.raises(LedgerError, match="shard 1/2: another launch is running this study"):
        run(opened(seeds="3"), display)
    with pytest.raises(LedgerError, match=r"being run in 2 shards, and shard 1/2 is at work; .*--shard K/2"):
        run(opened("3/3", seeds="3"), display)
    with pytest.raises(LedgerError, match="other shards of this study are at work on another plan"):
        run(opened("2/2", seeds="4"), display)

    blocked.send_signal(signal.SIGKILL)
    blocked.wait()
    with Holding(opened("2/2", seeds="3")) as held:  # A shard at work while the killed one begins anew.
        held.begun()
        (results / "cache" / "go").touch()
        again = start("BlockedTrial", "--seeds", "3", "--shard", "1/2")
        output, _ = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, output
    assert "shard 1/2 has 3 of them" in output

    whole = opened(results="whole", seeds="3")
    run(whole, display)
    assert told(others) == told(whole)
    for trial in whole.plan.trials:
        name = f"{trial.signature}.safetensors"
        assert (others.folder / "editors" / name).read_bytes() == (
            whole.folder / "editors" / name
        ).read_bytes()
    records = Ledger(others.ledger_folder).attempts()
    assert sum(len(attempts) for attempts in records.values()) == 6  # Nothing was committed twice.


def test_a_shard_is_refused_while_the_whole_study_is_run(
    opened: Open, display: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PROBE_SECONDS", 0.1)
    whole, shard = opened(), opened("1/2")

    with LedgerLock(whole.ledger_folder), pytest.raises(LedgerError, match="another launch is running"):
        run(shard, display)


def test_a_shard_among_others_touches_only_what_is_its_own(opened: Open, display: Any) -> None:
    first, second = opened("1/2"), opened("2/2")
    run(first, display)
    left = first.folder / "checkpoints" / next(iter(first.own)) / "claim-00001-00000-abc"
    left.parent.mkdir(parents=True)
    left.touch()

    with Holding(first) as held:
        held.begun()
        run(second, display)
        assert left.exists()  # The worker of the other shard may still write.
    run(second, display)

    assert not left.exists()


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/2/3", "1/0", "-1/2"])
def test_a_shard_that_there_cannot_be_is_refused(
    space_file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(space_file), f"--shard={text}"])

    assert ended.value.code == 2
    assert f"expected K/N, such as 2/4 for the second of four, with K from 1 to N; found '{text}'" in (
        capsys.readouterr().err
    )


def test_seeds_that_are_added_until_decided_have_no_shards(
    space_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = space_file.read_text().replace("seeds: 2", "seeds: {until: decided, start: 2, max: 8}")
    space_file.write_text(text)

    code = cli.main(["run", str(space_file), "--shard", "1/2", "--results", str(tmp_path / "results")])

    assert code == 2
    assert "seeds: seeds are added once the results of all cells are there" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_readers_see_the_launches_of_all_shards_as_one(opened: Open, display: Any) -> None:
    study = opened("1/3")
    run(study, display)
    waiting = [trial.signature for trial in study.plan.trials if trial.signature not in study.own]
    for number, signature in enumerate(waiting[:2], start=2):
        progress = Progress({signature: Row("rate=0.01", 0, "running", 1, 2)})
        progress.lost_machines.append(f"node-{number} at noon")
        progress.avoided_machines = ["node-9 before one"]
        RunningFile(study.folder, f"{number}-of-3").write(progress)
    elsewhere = study.folder / "running-3-of-3.json"
    elsewhere.write_text(json.dumps({**json.loads(elsewhere.read_text()), "host": "gone", "process": 12}))
    os.utime(elsewhere, (1e9, 1e9))

    found = status.view(study.folder)

    assert found.is_running
    assert found.states[waiting[0]] == "running"
    assert found.states[waiting[1]] == "waiting"
    assert found.launch is not None
    assert "from the launch of process 12 on gone: it was killed" in (found.launch.silence or "")
    shown = Console(width=200, record=True, file=io.StringIO())
    shown.print(status.drawing(found, shown))
    text = shown.export_text()
    assert "machines that left the cluster: node-2 at noon, node-3 at noon" in text
    assert (
        "machines that are not asked, since workers kept dying there: node-9 before one\n" in text
    )  # Said by the living one alone.
