"""Trials that another study of the same results folder has done already: found by signature, copied, never re-run.

A copy is whole (rows, model, record), so that a study's ledger can be read, moved or kept without the other one
(docs/design/005-cross-study-dedup.md).
"""

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

from orchestrator.execution.models import model_path, model_writer, publish
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.plan.cells import Plan

COPIED_FROM = "copied_from"
"""Key in a record's provenance: the study that ran the trial."""


@dataclass(frozen=True)
class Hit:
    """A done trial of another study."""

    signature: str
    study: str
    """Its folder's name."""
    ledger_folder: Path
    attempt: int


def found_elsewhere(
    wanted: Mapping[str, str], study_folder: Path, *, reuses_changed_code: bool = False
) -> dict[str, Hit]:
    """Those of the wanted trials that another study of the same results folder has done, by signature.

    `wanted` says by which code each should have been made; any code will do where that is reused. Only names
    are listed for what is not wanted, and only the wanted trials' records are read.
    """
    found: dict[str, Hit] = {}
    for any_code in (False, True) if reuses_changed_code else (False,):
        for ledger_folder in sorted(study_folder.parent.glob("*/ledger")):
            folder = ledger_folder.parent
            missing = wanted.keys() - found.keys()
            if folder == study_folder or not missing:
                continue
            with contextlib.suppress(
                LedgerError, OSError
            ):  # A study that cannot be read has nothing to offer.
                ledger = Ledger(ledger_folder)
                attempts = ledger.attempts()
                for signature in missing & attempts.keys():
                    code = None if any_code else wanted[signature]
                    attempt = ledger.done_attempt(signature, attempts[signature], code)
                    if attempt is not None and model_path(folder, signature).is_file():
                        found[signature] = Hit(signature, folder.name, ledger_folder, attempt)
    return found


def adopt(hits: Collection[Hit], plan: Plan, study_folder: Path, ledger: Ledger) -> list[Hit]:
    """Copy done trials into a study's ledger, under the names its plan has for them; those that were whole.

    The record is written last, as for a trial that runs: a launch killed in between has copied nothing. Only for the
    holder of the study's lock. Raises LedgerError when the study's folder cannot be written.
    """
    trials = {trial.signature: trial for trial in plan.trials}
    axis_values = {cell.name: dict(cell.axis_values) for cell in plan.cells}
    own_attempts = ledger.attempts()
    sources: dict[Path, Ledger] = {}
    adopted = []
    # By signature, as merged files of the ledger hold them, so that each is read once.
    for hit in sorted(hits, key=lambda hit: (hit.study, hit.signature)):
        source = sources.setdefault(hit.ledger_folder, Ledger(hit.ledger_folder))
        found = source.read_done(hit.signature, hit.attempt)
        if found is None:
            continue  # Damaged meanwhile: the trial will run.
        record, rows = found
        trial = trials[hit.signature]
        attempt = next_attempt(own_attempts, hit.signature)
        try:
            model = model_path(hit.ledger_folder.parent, hit.signature).read_bytes()
        except OSError:
            continue  # Gone meanwhile.
        place = model_path(study_folder, hit.signature)
        writer = model_writer(place, methodcaller("write_bytes", model))
        ledger.write_rows(hit.signature, attempt, {place: writer}, **rows)
        publish(place)
        # How that study's space names the trial, and how it is stored there, stays behind.
        kept = {
            key: value
            for key, value in record.items()
            if key != "schema_version" and not key.startswith("axis_")
        }
        ledger.commit(
            {
                **kept,
                "attempt": attempt,
                "cell": trial.cell,
                "axis_values": axis_values[trial.cell],
                "provenance": {**json.loads(record["provenance"] or "{}"), COPIED_FROM: hit.study},
            }
        )
        adopted.append(hit)
    return adopted


def next_attempt(attempts: Mapping[str, Sequence[int]], signature: str) -> int:
    """The number of the next attempt at a trial, from those of `Ledger.attempts`."""
    return 1 + max(attempts.get(signature, ()), default=0)
