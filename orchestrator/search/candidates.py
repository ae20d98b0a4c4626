"""Points of a search's space as trials: one for each seed of the space. Knows neither Optuna nor the ledger."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.plan.cells import resolve_cell
from orchestrator.plan.identity import Identity
from orchestrator.space.axes import AxisValue, AxisValues
from orchestrator.space.config import Space
from orchestrator.space.points import baseline_values, is_allowed, settled_point
from trainables.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """A point of the space."""

    values: dict[str, AxisValue]
    config: Settings
    signatures: tuple[str, ...]
    """Signatures of its trials, in the order of the space's seeds."""

    @property
    def signature(self) -> str:
        """Signature of the first seed's trial: what the point is known by."""
        return self.signatures[0]


class Candidates:
    """Finds the trials of a point, and the point of a trial."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.seeds = space.config.first_seeds
        self.baseline, _ = baseline_values(space)
        self._known: dict[str, Candidate] = {}
        """Signature of any trial -> the point it belongs to."""
        self.default = self.at(self.baseline)

    def at(self, values: AxisValues) -> Candidate:
        """The trials at a point. Raises pydantic's ValidationError where the settings exclude each other."""
        acting, _ = settled_point(self.space.config, values, self.baseline)
        config = resolve_cell(self.space, acting)
        family = self.space.family
        identity = Identity(family, config)
        signatures = tuple(identity.signature(seed, parent=None) for seed in self.seeds)
        if signatures[0] not in self._known:
            self._known.update(dict.fromkeys(signatures, Candidate(acting, config, signatures)))
        return self._known[signatures[0]]

    def checked(self, values: AxisValues) -> Candidate:
        """As `at`; raises ValueError, in words, for any point that cannot be trained."""
        if not is_allowed(self.space.config, values, self.baseline):
            raise ValueError("excluded by a constraint of the space")
        try:
            candidate = self.at(values)
        except ValidationError as error:
            raise ValueError("; ".join(details["msg"] for details in error.errors())) from error
        if misfit := self.space.family.misfit(candidate.config):
            raise ValueError(misfit)
        return candidate

    def of_record(self, record: Mapping[str, Any]) -> Candidate | None:
        """The point of a trial, from a worker's record or a row of the ledger; None where it would be another trial
        in this space."""
        if record["signature"] in self._known:
            return self._known[record["signature"]]
        said = record["axis_values"]  # text in the ledger's rows, a mapping in a worker's record
        values = {**self.baseline, **(json.loads(said) if isinstance(said, str) else said)}
        values = {name: value for name, value in values.items() if name in self.baseline}
        try:
            candidate = self.checked(values)
        except (ValueError, KeyError):
            return None
        return candidate if record["signature"] in candidate.signatures else None

    def of_records(self, records: Iterable[Mapping[str, Any]]) -> dict[str, Candidate]:
        """Signature -> point, of all points that any of these trials belongs to."""
        found = map(self.of_record, records)
        return {candidate.signature: candidate for candidate in found if candidate is not None}
