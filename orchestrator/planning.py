"""What `plan` shows, and `run` before it starts: cells, trials, what is done, and the price."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.launch import Standing, Study, standing
from orchestrator.ledger import Ledger
from orchestrator.live import say
from orchestrator.plan import Cell
from orchestrator.pricing import Price, price_lines, study_price


@dataclass(frozen=True)
class PlanView:
    """A plan beside what its ledger holds."""

    study: Study
    now: Standing
    price: Price | None
    """Of what is missing; None where nothing is, or where nothing is known of its cost."""

    @property
    def num_missing(self) -> int:
        """Trials that a launch would run."""
        return len(self.study.plan.trials) - len(self.now.done)

    def state(self, signature: str) -> str:
        """How a trial stands."""
        return str(self.now.records[signature]["status"]) if signature in self.now.records else "waiting"


def view(study: Study) -> PlanView:
    """Look at a study without changing it."""
    now = standing(study, Ledger(study.ledger_folder))
    return PlanView(study, now, study_price(study, now))


def show(plan: PlanView, console: Console) -> None:
    """Print the plan in at most the console's width."""
    study = plan.study
    say(console, f"{study.plan.name}: {study.space.config.question}")
    console.print(_table(plan))
    for cell in study.plan.cells:
        for line in _remarks(cell):
            say(console, line)
    done, total = len(plan.now.done), len(study.plan.trials)
    say(console, f"{len(study.plan.cells)} cells, {total} trials: {done} done, {total - done} to run")
    if study.earlier_plan_hash not in (None, study.plan.plan_hash):
        say(
            console,
            "note: primary metric, margin, axes or claims differ from those this study was begun with; "
            "its report says so",
        )
    if plan.price is not None:
        for line in price_lines(plan.price):
            console.print(Text(line))  # prose, wrapped at words


def as_json(plan: PlanView) -> dict[str, Any]:
    """The documented form of `plan --json`."""
    study = plan.study
    return {
        "name": study.plan.name,
        "question": study.space.config.question,
        "folder": str(study.folder),
        "plan_hash": study.plan.plan_hash,
        "num_done": len(plan.now.done),
        "num_missing": plan.num_missing,
        "cells": [_cell_json(cell) for cell in study.plan.cells],
        "trials": [
            {
                "cell": trial.cell,
                "seed": trial.seed,
                "signature": trial.signature,
                "parent": trial.parent,
                "state": plan.state(trial.signature),
            }
            for trial in study.plan.trials
        ],
        "price": None if plan.price is None else _price_json(plan.price),
    }


def _table(plan: PlanView) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True, overflow="ellipsis")
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    for cell in plan.study.plan.cells:
        trials = [trial for trial in plan.study.plan.trials if trial.cell == cell.name]
        done = sum(trial.signature in plan.now.done for trial in trials)
        table.add_row(Text(cell.name), str(len(trials)), str(done))
    return table


def _remarks(cell: Cell) -> list[str]:
    lines = []
    if cell.merged:
        lines.append(f"  {cell.name} is the same cell as {', '.join(cell.merged)}")
    if cell.dropped:
        lines.append(f"  {cell.name} has no use for {', '.join(cell.dropped)}")
    return lines


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "axis_values": dict(cell.axis_values),
        "is_baseline": cell.is_baseline,
        "merged": list(cell.merged),
        "dropped": list(cell.dropped),
        "config": cell.config.model_dump(mode="json"),
    }


def _price_json(price: Price) -> Mapping[str, Any]:
    return dict(vars(price))
