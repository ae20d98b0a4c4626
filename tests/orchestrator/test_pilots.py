"""Pilots are timed once and kept; cells and trials are shown before anything is timed; a limit is kept or refused."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.cli import parser as cli
from orchestrator.space.execution import ExecutionConfig
from orchestrator.study.price.pilots import Pilots
from trainables.h_space import pilot as timing
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainError
from trainables.h_space.family import FAMILY
from trainables.h_space.pilot import Pieces, Pilot

SPACE = """
question: Does the learning rate matter?
baseline:
  domain: avatars
  attribute: smiling
  editor: {kind: conv}
  training: {epochs: 2, optimizer: {learning_rate: 0.001}}
axes:
  rate: {path: training.optimizer.learning_rate, values: [0.001, 0.01]}
seeds: 2
primary: {metric: loss_total, margin: 0.1}
"""
FOUND = Pilot((Pieces(0.3, 0.2, 0.01, 0.02, 0.01, 0.05, 0.01, 0.01, 0.001),) * 3, 1000, 8, 5.0)


class Timer:
    """In place of the pilot: counts, and takes no time."""

    def __init__(self) -> None:
        self.num_timed = 0
        self.num_threads: list[int] = []

    def __call__(self, config: CellConfig, device: str, num_threads: int) -> Pilot:
        self.num_timed += 1
        self.num_threads.append(num_threads)
        return FOUND


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Timer:
    counting = Timer()
    monkeypatch.setattr(timing, "pilot", counting)
    monkeypatch.setenv("ASYRP_SWEEP_CACHE", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rates.yaml").write_text(SPACE)
    return counting


@pytest.fixture
def config() -> CellConfig:
    return CellConfig.model_validate(
        {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "conv"}}
    )


def with_training(config: CellConfig, **settings: object) -> CellConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def test_a_pilot_is_timed_once_whatever_the_settings_count(
    config: CellConfig, timer: Timer, tmp_path: Path
) -> None:
    first, second = (Pilots(FAMILY, tmp_path / "cache", ExecutionConfig()) for _ in range(2))

    fresh, kept = first.of(config), second.of(with_training(config, epochs=9, t_edit=300))

    assert timer.num_timed == 1
    assert (first.kept, second.kept) == (set(), {FAMILY.kind(config)})
    assert fresh[0].train_rate != kept[0].train_rate  # Fewer steps: the cheap ends weigh more.
    assert second.load_seconds == 5.0


@pytest.mark.parametrize("batch_size", [1, 2])
def test_another_batch_thread_or_editor_is_another_pilot(
    config: CellConfig, timer: Timer, tmp_path: Path, batch_size: int
) -> None:
    def timed(of: CellConfig, threads: int = 1) -> None:
        Pilots(FAMILY, tmp_path / "cache", ExecutionConfig(threads_per_trial=threads)).of(of)

    timed(config)
    timed(with_training(config, batch_size=batch_size))
    timed(config, threads=2)
    editor = CellConfig.model_validate(
        {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "pixel"}}
    )
    timed(editor)

    assert timer.num_threads == [1, 1, 2, 1]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"measured_at": "x"}', '{"measured_at": 0}'])
def test_a_damaged_or_old_pilot_is_timed_again(
    config: CellConfig, timer: Timer, tmp_path: Path, content: str
) -> None:
    Pilots(FAMILY, tmp_path / "cache", ExecutionConfig()).of(config)
    (kept,) = tmp_path.rglob("pilots/*.json")
    kept.write_text(content)

    Pilots(FAMILY, tmp_path / "cache", ExecutionConfig()).of(config)

    assert timer.num_timed == 2


def test_where_results_cannot_be_written_the_users_cache_keeps_pilots(
    config: CellConfig, timer: Timer, tmp_path: Path
) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_text("")

    for _ in range(2):
        assert Pilots(FAMILY, no_folder / "cache", ExecutionConfig()).of(config)

    assert timer.num_timed == 1
    assert len(list((tmp_path / "user" / "pilots").iterdir())) == 1


def test_a_pilot_that_fails_as_expected_says_why_and_any_other_error_is_raised(
    config: CellConfig, timer: Timer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> list[object]:
        def failing(*arguments: object, **options: object) -> Pilot:
            raise error

        monkeypatch.setattr(timing, "pilot", failing)
        pilots = Pilots(FAMILY, tmp_path / "cache", ExecutionConfig())
        return [pilots.of(config), pilots.failures]

    assert fail(DomainError("no CLIP there")) == [[], {FAMILY.kind(config): "no CLIP there"}]
    with pytest.raises(AssertionError, match="ours"):
        fail(AssertionError("ours"))


def plan(*options: str) -> int:
    return cli.main(["plan", "rates.yaml", *options])


def test_cells_and_trials_are_shown_before_a_pilot_starts(
    timer: Timer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def looking(config: CellConfig, device: str, num_threads: int) -> Pilot:
        shown.append(capsys.readouterr().out)
        return FOUND

    monkeypatch.setattr(timing, "pilot", looking)

    assert plan() == 0

    (before,) = shown
    assert "2 cells, 4 trials: 0 done, 4 to run" in before
    assert before.endswith("pilot 1 of 1: a few steps of conv, timed for the price\n")
    assert capsys.readouterr().out.startswith("price: about ")


def test_a_second_plan_times_nothing_and_says_so(timer: Timer, capsys: pytest.CaptureFixture[str]) -> None:
    plan()
    capsys.readouterr()

    plan()

    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert timer.num_timed == 1
    assert "pilot 1 of 1" not in printed
    assert "by a pilot of a few steps, timed earlier, here" in printed
    assert not Path("results").exists()


def test_no_price_times_nothing(timer: Timer, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan("--no-price") == 0

    assert timer.num_timed == 0
    assert "price" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["plan", "rates.yaml"], ["run", "rates.yaml"], ["tune", "smiling"]])
def test_a_limit_without_a_price_is_refused(
    timer: Timer, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.main([*command, "--no-price", "--max-cost", "1h"]) == 2

    assert "a limit needs the price that --no-price leaves out" in capsys.readouterr().err
    assert not Path("results").exists()


def test_before_a_cluster_is_joined_the_price_is_unknown_and_a_limit_refused(
    timer: Timer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan("--address", "auto") == 0
    assert "price: unknown: a launch tells it" in capsys.readouterr().out

    assert plan("--address", "auto", "--max-cost", "1h") == 2
    assert "A limit cannot be kept; leave --max-cost out" in re.sub(r"\s+", " ", capsys.readouterr().err)

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert plan("--max-cost", "1h") == 2
    assert plan("--inline", "--max-cost", "10h") == 0


def test_cpus_and_inline_are_priced(timer: Timer, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for options in (("--cpus", "4"), ("--cpus", "1"), ("--inline",)):
        capsys.readouterr()
        plan("--json", *options)
        found[options[-1]] = json.loads(capsys.readouterr().out)["price"]

    assert [price["num_parallel"] for price in found.values()] == [4, 1, 1]
    assert found["4"]["seconds"] < found["--inline"]["seconds"] < found["1"]["seconds"]
    assert found["--inline"]["start_seconds"] < found["1"]["start_seconds"]


def test_on_a_terminal_an_unknown_price_is_asked_about(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(question: str, **options: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("orchestrator.cli.run.Confirm.ask", refuse)
    monkeypatch.setattr(Console, "is_terminal", property(lambda console: True))
    monkeypatch.setattr(Console, "status", lambda console, text: quiet())

    assert cli.main(["run", "rates.yaml", "--address", "auto"]) == 0

    assert len(asked) == 1
    assert not Path("results").exists()


@contextmanager
def quiet() -> Iterator[None]:
    yield
