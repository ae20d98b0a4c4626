"""Writing `study.json`: what the study is now, and every plan that it has had since results could be seen.

Whether verdicts hold at the promised error rate depends on what was planned when. So a launch records its plan before
it trains: which comparisons it makes and after which seeds it looks at them. Readers never write.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.ledger.comparisons import cell_identity, comparisons
from orchestrator.ledger.durable import write_text_atomically
from orchestrator.ledger.files import writing
from orchestrator.ledger.study import STUDY_FILE, PlannedLooks, StudyPlan, parse_study


def write_study(folder: Path, document: Mapping[str, Any], *, has_results: bool = True) -> None:
    """Write `study.json` atomically. Raises LedgerError when the folder cannot be written.

    A plan is replaced by the next one without a trace while no trial has ended (`has_results` false).
    """
    with writing(folder):
        content = json.dumps(_with_history(folder, document, has_results), indent=1, ensure_ascii=False)
        write_text_atomically(folder / STUDY_FILE, content)


def described(folder: Path, document: Mapping[str, Any], *, has_results: bool) -> StudyPlan:
    """The study that `write_study` would leave in a folder. Raises LedgerError as it does."""
    path = folder / STUDY_FILE
    return parse_study(json.dumps(_with_history(folder, document, has_results)), path)


def planned_looks(study: StudyPlan, since: str = "") -> PlannedLooks:
    """What a study plans to look at, and after how many seeds."""
    rule = study.adaptive
    seeds = tuple(study.seeds) if rule is None else tuple(range(int(rule["max"])))
    found = comparisons(study)
    return PlannedLooks(
        since=since,
        seeds=seeds,
        schedule=(len(seeds),) if rule is None else tuple(rule["schedule"]),
        cells=tuple(cell_identity(cell) for cell in study.cells),
        comparisons=tuple(one.key for one in found if one.is_primary),
        claims=tuple(one.key for one in found if not one.is_primary),
    )


def _with_history(folder: Path, document: Mapping[str, Any], has_results: bool) -> Mapping[str, Any]:
    """The document with `plan_hashes` and `plans`, the present ones last."""
    if "plan_hash" not in document:
        return document
    path, now = folder / STUDY_FILE, datetime.now(UTC).isoformat(timespec="seconds")
    hashes = _earlier_hashes(path)
    if not hashes or hashes[-1]["hash"] != document["plan_hash"]:
        hashes = [*hashes, {"hash": document["plan_hash"], "since": now}]
    new = planned_looks(parse_study(json.dumps(document), path), now)
    earlier = _earlier_plans(path) if has_results else []
    plans = plans_after(earlier, new)
    return {**document, "plan_hashes": hashes, "plans": [asdict(plan) for plan in plans]}


def plans_after(earlier: list[PlannedLooks], new: PlannedLooks) -> list[PlannedLooks]:
    """The plans of a study that has results, once it is launched with a new one.

    Where no cell is one of the plan before, nothing that has run says anything about the new cells: it begins anew.
    """
    if not earlier or not set(earlier[-1].cells) & set(new.cells):
        return [new]
    same = {"since": earlier[-1].since}
    return earlier if asdict(earlier[-1]) == asdict(new) | same else [*earlier, new]


def _earlier_hashes(path: Path) -> list[dict[str, str]]:
    """What the study's file already knows; a file from before there was a history dates its own hash."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return list(
            content.get("plan_hashes") or [{"hash": content["plan_hash"], "since": _changed_at(path)}]
        )
    except (FileNotFoundError, KeyError):
        return []


def _earlier_plans(path: Path) -> list[PlannedLooks]:
    """The plans that the study's file knows; one from before they were kept has its own."""
    try:
        study = parse_study(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return []
    return list(study.plans) or [planned_looks(study, _changed_at(path))]


def _changed_at(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
