"""Trials that another study of the same results folder has done are copied, not run again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError
from orchestrator.study import planning
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.price.budget import check_cost
from orchestrator.study.price.pricing import Price
from orchestrator.study.price.quoting import Quote
from orchestrator.study.price.ranges import Range
from orchestrator.study.runner import RunOptions, run_missing

Launch = Callable[..., tuple[Study, Outcome, list[str]]]


@pytest.fixture
def launch(space_file: Path, tmp_path: Path, display: Any) -> Launch:
    """Run a variant of the test space, called by its own name, in the results folder that all share."""

    def run(name: str, old: str = "", new: str = "", trial: str = "FakeTrial", **loading: Any) -> Any:
        path = tmp_path / f"{name}.yaml"
        path.write_text(space_file.read_text().replace(old, new))
        study = open_study(load_space(path, **loading), tmp_path / "results")
        display.lines = []
        outcome = run_missing(study, RunOptions(inline=True, trial_class=f"fake_trials:{trial}"), display)
        return study, outcome, display.lines

    return run


def records(study: Study) -> dict[str, dict[str, Any]]:
    return {record["signature"]: record for record in Ledger(study.ledger_folder).records()}


def test_common_trials_are_copied_whole_and_under_the_new_names(launch: Launch) -> None:
    first, _, _ = launch("rates")

    second, outcome, lines = launch("speed", "  rate: {path", "  speed: {path", seeds=3)

    mine, theirs = records(second), records(first)
    assert outcome.num_run == 2  # the third seed of both cells
    assert len(mine) == 6
    assert "4 trials copied from study rates, which has done the same" in lines
    copied = mine.keys() & theirs.keys()
    assert {mine[s]["cell"] for s in copied} == {"baseline", "speed=0.01"}
    assert all("axis_rate" not in mine[s] for s in copied)
    assert all(json.loads(mine[s]["provenance"])["copied_from"] == "rates" for s in copied)
    assert all((second.folder / "editors" / f"{s}.safetensors").is_file() for s in copied)
    own, other = Ledger(second.ledger_folder), Ledger(first.ledger_folder)
    assert own.table("curves").num_rows == 12
    assert set(other.table("curves")["signature"].to_pylist()) <= set(
        own.table("curves")["signature"].to_pylist()
    )


def test_a_copy_outlives_the_study_it_came_from(launch: Launch, tmp_path: Path) -> None:
    first, _, _ = launch("rates")
    launch("again")
    first.folder.rename(tmp_path / "gone")

    second, outcome, _ = launch("again")

    assert outcome.num_run == 0
    assert {record["status"] for record in records(second).values()} == {"done"}


def test_failed_and_damaged_trials_are_not_reused(launch: Launch) -> None:
    first, _, _ = launch("rates", trial="FailingTrial")
    done = next(s for s, record in records(first).items() if record["status"] == "done")
    (first.ledger_folder / "curves" / f"part-{done}-1.parquet").write_bytes(b"PAR1")

    second, outcome, _ = launch("again")

    assert outcome.num_run == 3
    assert {record["status"] for record in records(second).values()} == {"done"}


def test_the_plan_tells_the_hits_by_study(launch: Launch, tmp_path: Path) -> None:
    launch("rates")
    path = tmp_path / "more.yaml"
    path.write_text((tmp_path / "rates.yaml").read_text())
    study = open_study(load_space(path, seeds=3), tmp_path / "results")

    view = planning.view(study)

    assert (view.num_missing, len(view.hits)) == (2, 4)
    content = planning.as_json(view)
    assert content["num_reused"] == 4
    assert {trial["reused_from"] for trial in content["trials"]} == {"rates", None}
    assert Ledger(study.ledger_folder).records() == []


def price_of(seconds: float | None) -> Price:
    return Price(4, "cpu", 1, None if seconds is None else Range(seconds, seconds, seconds), 0, 1)


def test_a_plan_beyond_its_limit_is_refused_with_what_would_fit(launch: Launch) -> None:
    study, _, _ = launch("rates")
    shorter = load_space(study.folder.parent.parent / "rates.yaml", settings=["training.epochs=3"])
    dear = open_study(shorter, study.folder.parent)
    now = planning.standing(dear, Ledger(dear.ledger_folder))

    quote = Quote(dear)

    def checked(price: Price | None, text: str, seconds: float) -> None:
        check_cost(planning.PlanView(dear, now, dear.plan, price=price), quote, text, seconds)

    with pytest.raises(
        ConfigError, match=r"--max-cost 1h: the plan costs about 2.0 h .*; --seeds .* would fit"
    ):
        checked(price_of(7200), "1h", 3600)
    with pytest.raises(ConfigError, match=r"A limit cannot be kept; leave --max-cost out"):
        checked(price_of(None), "1m", 60)
    with pytest.raises(ConfigError, match="about 50 s"):  # The upper end counts.
        checked(replace(price_of(50), seconds=Range(50, 50, 4000)), "1h", 3600)
    checked(price_of(50), "1m", 60)
    checked(None, "1m", 60)
