"""How fast trials go on this machine: by those that have finished here, or by a pilot of a few timed steps."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.execution.models import model_path
from orchestrator.execution.provenance import host, machine_kind
from orchestrator.ledger import Ledger, LedgerError
from orchestrator.study.reuse import COPIED_FROM
from trainables.family import Family

PILOT_ERROR = (0.8, 1.5)
"""A trial takes so many times what its pilot says: trials took 0.9 to 1.4 times it (`benchmarks/pilot_price.py`, and
idle machines' records), rounded outwards for two at a time."""

MANY = 3
"""From so many finished trials of a kind on, their own spread tells how far the next ones may lie."""

FEW_ERROR = (0.8, 1.3)
"""Where there are fewer: how far six trials of one configuration, two at a time, lay from each other."""

Kind = tuple[str, ...]
"""What trials that cost alike per unit of work have in common (`Family.kind`)."""

PreparationRates = Mapping[str, float]
"""Seconds of each unit of `Family.preparation_work`."""


@dataclass(frozen=True)
class Measured:
    """What one finished trial took, or one round of a pilot's timed pieces."""

    train_rate: float
    """Seconds per unit of training (`Family.work`)."""
    other_rate: float
    """Seconds of everything else (evaluation, loading) per unit of it."""
    num_bytes: int
    """Bytes of a trial's parts in the ledger and of its weights."""
    is_pilot: bool = False
    """A few steps timed for a price, no finished trial."""
    preparing: PreparationRates | None = None
    """What preparation takes; only a pilot times it."""


Throughput = Mapping[Kind, Sequence[Measured]]
"""What was measured on this machine, or on those of a kind, by what trials cost alike in."""


def error_of(rates: Sequence[Measured]) -> tuple[float, float]:
    """How many times the fastest, and the slowest, of these a trial may take beyond their own spread."""
    if any(rate.is_pilot for rate in rates):
        return PILOT_ERROR
    return FEW_ERROR if len(rates) < MANY else (1.0, 1.0)


def measured(
    results: Path, device: str, family: Family, machines: str | None = None
) -> dict[Kind, list[Measured]]:
    """What the done trials of all studies in a results folder took on this device of this machine.

    With `machines`, on machines of the kind that is called so (`provenance.machine_kind`).
    """
    found: dict[Kind, list[Measured]] = {}
    for ledger_folder in sorted(results.glob("*/ledger")):
        with contextlib.suppress(LedgerError):  # A study that cannot be read tells nothing.
            for kind, entry in _measured_in(ledger_folder, device, family, machines):
                found.setdefault(kind, []).append(entry)
    return found


def _measured_in(
    ledger_folder: Path, device: str, family: Family, machines: str | None
) -> Iterator[tuple[Kind, Measured]]:
    ledger = Ledger(ledger_folder)
    num_bytes = ledger.num_bytes()
    for record in ledger.records():
        train, wall = record["train_seconds"], record["wall_seconds"]
        is_done = record["status"] == "done" and record["device"] == device and train and wall
        if not is_done or not _is_of(machines, record):
            continue
        try:
            config = family.Config.model_validate_json(record["config"])
        except ValueError:  # of another family or version
            continue
        model = model_path(ledger_folder.parent, record["signature"])
        kept = model.stat().st_size if model.is_file() else 0
        other, work = max(wall - train, 0.0), family.work(config)
        size = num_bytes.get(record["signature"], 0) + kept
        yield family.kind(config), Measured(train / work.train, other / work.other, size)


def _is_of(machines: str | None, record: Mapping[str, Any]) -> bool:
    """Whether a trial has run on machines of this kind, or on this one."""
    provenance = json.loads(record["provenance"] or "{}")
    is_alike = provenance.get("host") == host() if machines is None else machine_kind(provenance) == machines
    return is_alike and COPIED_FROM not in provenance
