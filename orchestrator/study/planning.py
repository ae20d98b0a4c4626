"""What `plan` shows, and `run` before it starts: cells, trials, what is done, and the price."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.ledger import Ledger
from orchestrator.plan.cells import Cell, Plan
from orchestrator.plan.warm_starts import chain_lines
from orchestrator.study.document import cell_head
from orchestrator.study.launch import Standing, Study, configs_to_prepare, longest_plan, standing
from orchestrator.study.price import room
from orchestrator.study.price.pricing import Price, price_lines
from orchestrator.study.price.quoting import Quote
from orchestrator.study.price.ranges import Range
from orchestrator.study.reuse import Hit, found_elsewhere
from orchestrator.views.live import say
from trainables.family import Family


@dataclass(frozen=True)
class PlanView:
    """A plan beside what its ledger holds."""

    study: Study
    now: Standing
    longest: Plan
    """If no contrast is ever decided, where seeds are added while they are needed; else the study's own."""
    found: Mapping[str, Hit] = field(default_factory=dict)
    """Missing trials, of the longest plan too, that another study of the same results folder has done."""
    price: Price | None = None
    """Price of what is missing; None where nothing is, or where nobody has asked for it."""
    most: Price | None = None
    """Price if no contrast is ever decided, where seeds are added while they are needed."""

    @property
    def hits(self) -> dict[str, Hit]:
        """Those of `found` that belong to the present plan; a launch copies them."""
        return {signature: hit for signature, hit in self.found.items() if signature in self.study.own}

    @property
    def num_missing(self) -> int:
        """Trials that a launch would run."""
        return len(self.study.own - self.now.done) - len(self.hits)

    @property
    def not_to_run(self) -> set[str]:
        """Signatures of the trials that are done, here or in another study, and of those of other shards."""
        of_others = {trial.signature for trial in self.study.plan.trials} - self.study.own
        return self.now.done | self.found.keys() | of_others

    @property
    def highest(self) -> Price | None:
        """What it costs at most."""
        return self.most or self.price

    def state(self, signature: str) -> str:
        """How a trial stands; one that other code has made, and that is not reused, waits."""
        if signature in self.now.of_other_code - self.now.done:
            return "waiting"
        return str(self.now.records[signature]["status"]) if signature in self.now.records else "waiting"


def view(study: Study) -> PlanView:
    """Look at a study without changing it; `priced` adds what takes longer to say."""
    now = standing(study, Ledger(study.ledger_folder))
    longest = longest_plan(study)
    trials = {trial.signature: trial.code for plan in (study.plan, longest) for trial in plan.trials}
    wanted = {signature: code for signature, code in trials.items() if signature not in now.done}
    hits = found_elsewhere(wanted, study.folder, reuses_changed_code=study.reuses_changed_code)
    return PlanView(study, now, longest, hits)


def priced(plan: PlanView, quote: Quote) -> PlanView:
    """The plan with its prices; a kind of trial that was never measured here is timed for seconds."""
    price = quote.of(plan.study.plan, plan.not_to_run)
    most = None if plan.longest is plan.study.plan else quote.of(plan.longest, plan.not_to_run)
    return replace(plan, price=price, most=most)


def show(plan: PlanView, console: Console) -> None:
    """Print the plan in at most the console's width."""
    study = plan.study
    say(console, f"{study.plan.name}: {study.space.config.question}")
    console.print(_table(plan))
    say(console, *_remarks(study), *_counts(plan))


def _remarks(study: Study) -> Iterator[str]:
    """What should be known of the cells, of what they start from and of what judges them."""
    for cell in study.plan.cells:
        for because in dict.fromkeys(point.because for point in cell.coinciding):
            names = ", ".join(point.name for point in cell.coinciding if point.because == because)
            yield f"  {cell.name} is the same cell as {names}{f': {because}' if because else ''}"
        if cell.dropped:
            yield f"  {cell.name} ignores {', '.join(cell.dropped)}"
        yield from (f"  {cell.name}: {note}" for note in cell.notes)
    yield from (f"  warm start: {line}" for line in chain_lines(study.plan.cells, study.space.family))
    if because := "; ".join(study.space.primary_because):
        yield f"  judged by {study.space.config.primary.metric}: {because}"
    yield from (f"  {point.name} is excluded: {point.because}" for point in study.plan.excluded)


def lacking_room(plan: PlanView) -> str:
    """What is wrong where the disk of the results has less room than the plan needs; nothing where it has enough."""
    done = plan.not_to_run
    missing = [trial for trial in plan.longest.trials if trial.signature not in done]
    to_prepare = configs_to_prepare(plan.longest, {trial.signature for trial in missing})
    known = None if plan.highest is None else plan.highest.num_bytes
    return room.lacking_room(plan.study, [trial.config for trial in missing], to_prepare, known)


def seconds_to_checkpoints(plan: PlanView, quote: Quote) -> dict[str, float]:
    """Cell of a trial that is missing -> seconds until it can be gone on from; 0 where that is unknown."""
    configs = {
        trial.cell: trial.config for trial in plan.longest.trials if trial.signature not in plan.now.done
    }
    return {cell: quote.seconds_to_checkpoint(config) for cell, config in configs.items()}


def show_price(plan: PlanView, console: Console) -> None:
    """Print what the plan costs."""
    for price, label in ((plan.price, "price"), (plan.most, "at most")):
        for line in price_lines(price, label) if price is not None else ():
            console.print(Text(line))  # prose, wrapped at words


def _counts(plan: PlanView) -> Iterator[str]:
    study, done = plan.study, len(plan.now.done)
    copied = f", {len(plan.hits)} to copy" if plan.hits else ""
    total = len(study.plan.trials)
    if study.shard is None:
        yield f"{len(study.plan.cells)} cells, {total} trials: {done} done{copied}, {plan.num_missing} to run"
    else:
        own = len(study.own), len(study.own & plan.now.done)
        yield f"{len(study.plan.cells)} cells, {total} trials: {done} done"
        yield f"  shard {study.shard} has {own[0]} of them: {own[1]} done{copied}, {plan.num_missing} to run"
    for other, count in Counter(hit.study for hit in plan.hits.values()).items():
        yield f"  {count} of them {'is' if count == 1 else 'are'} done in study {other}: copied, not run again"
    yield from _other_code(study, plan.now)
    if plan.now.num_other:
        yield (
            f"  {plan.now.num_other} finished trials of these cells and seeds had other settings, read other contents, "
            "or are of an earlier release: they stay in the ledger and enter nothing"
        )
    rule = study.space.config.adaptive
    if rule is not None:
        looks = ", ".join(map(str, rule.schedule))
        yield f"  seeds are added until decided, at most {rule.max} a cell; looked at after {looks}"
    for name in plan.now.damaged:
        yield f"  damaged: {name}; its trials count as not run, and a launch runs them again"
    if study.earlier_plan_hash not in (None, study.plan.plan_hash):
        yield (
            "note: primary metric, margin, axes or claims differ from those this study was begun with; "
            "its report says so"
        )
    remarks = study.space.family.remarks([cell.config for cell in study.plan.cells])
    yield from (f"  {remark}" for remark in dict.fromkeys(remarks))


def _other_code(study: Study, now: Standing) -> Iterator[str]:
    """What becomes of trials that code other than today's has finished."""
    unknown = sum(now.records[signature]["code"] is None for signature in now.of_other_code)
    count = len(now.of_other_code) - unknown
    for number, which in ((count, "has changed since"), (unknown, "was not recorded")):
        if number and study.reuses_changed_code:
            yield f"  {number} of the done trials were made by code that {which}; they count, and the report says so"
        elif number:
            yield (
                f"  {number} finished trials were made by code that {which}: they count as not done and run again; "
                "--reuse-changed-code keeps them"
            )


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
        "num_reused": len(plan.hits),
        "num_other_code": len(plan.now.of_other_code),
        "reuses_changed_code": study.reuses_changed_code,
        "cells": [_cell_json(study.plan.family, cell) for cell in study.plan.cells],
        "trials": [
            {
                "cell": trial.cell,
                "seed": trial.seed,
                "signature": trial.signature,
                "parent": trial.parent,
                "code": trial.code,
                "state": plan.state(trial.signature),
                "reused_from": plan.hits[trial.signature].study if trial.signature in plan.hits else None,
            }
            for trial in study.plan.trials
        ],
        "excluded": [
            {"cell": point.name, "axis_values": dict(point.axis_values), "because": point.because}
            for point in study.plan.excluded
        ],
        "price": None if plan.price is None else price_json(plan.price),
        "price_at_most": None if plan.highest is None else price_json(plan.highest),
    }


def _table(plan: PlanView) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("cell", no_wrap=True, overflow="ellipsis")
    for header in ("trials", "done"):
        table.add_column(header, justify="right", no_wrap=True)
    trials = Counter(trial.cell for trial in plan.study.plan.trials)
    done = Counter(trial.cell for trial in plan.study.plan.trials if trial.signature in plan.now.done)
    for cell in plan.study.plan.cells:
        table.add_row(Text(cell.name), str(trials[cell.name]), str(done[cell.name]))
    return table


def _cell_json(family: Family, cell: Cell) -> dict[str, Any]:
    return {
        **cell_head(cell),
        "merged": list(cell.merged),
        "merged_because": [point.because or None for point in cell.coinciding],
        "dropped": list(cell.dropped),
        "notes": list(cell.notes),
        "num_parameters": family.num_parameters(cell.config),
        "config": cell.config.model_dump(mode="json"),
    }


def price_json(price: Price) -> dict[str, Any]:
    """The documented form of a price: a range is three entries, the typical value under the name itself."""
    plain = {name: value for name, value in vars(price).items() if not isinstance(value, Range | tuple)}
    ranges = {
        "seconds": price.seconds,
        "preparation_seconds": price.preparation,
        "start_seconds": price.start,
    }
    for name, found in ranges.items():
        plain[name] = None if found is None else found.typical
        plain[f"{name}_low"] = None if found is None else found.low
        plain[f"{name}_high"] = None if found is None else found.high
    return plain
