"""Writing `study.json`: what the study is now, and every plan that it has had since results could be seen.

Whether verdicts hold at the promised error rate depends on what was planned when. So a launch records its plan before
it trains: which comparisons it makes and after which seeds it looks at them. Readers never write.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
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
    earlier = _earlier(path)
    hashes = [] if earlier is None else list(earlier.plan_hashes)
    if not hashes or hashes[-1]["hash"] != document["plan_hash"]:
        hashes = [*hashes, {"hash": document["plan_hash"], "since": now}]
    new = planned_looks(parse_study(json.dumps(document), path), now)
    plans = plans_after(list(earlier.plans) if earlier and has_results else [], new)
    return {**document, "plan_hashes": hashes, "plans": [asdict(plan) for plan in plans]}


def plans_after(earlier: list[PlannedLooks], new: PlannedLooks) -> list[PlannedLooks]:
    """The plans of a study that has results, once it is launched with a new one.

    Where no cell is one of the plan before, nothing that has run says anything about the new cells: it begins anew.
    """
    if not earlier or not set(earlier[-1].cells) & set(new.cells):
        return [new]
    same = {"since": earlier[-1].since}
    return earlier if asdict(earlier[-1]) == asdict(new) | same else [*earlier, new]


def _earlier(path: Path) -> StudyPlan | None:
    """What the study's file already says; one from before there was a history begins it, dated by the file's time."""
    try:
        study = parse_study(path.read_bytes(), path)
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except FileNotFoundError:
        return None
    hashes = study.plan_hashes or ({"hash": study.plan_hash, "since": since},)
    return replace(study, plan_hashes=hashes, plans=study.plans or (planned_looks(study, since),))
