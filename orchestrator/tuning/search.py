"""One search: which trial comes next, and what its end means for those that follow. Knows no back end, no Optuna.

The ledger is the truth. What it holds is never run again: a point proposed twice is answered from it, and a
search that lost its journal is told it anew.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic as now
from typing import Any

from pydantic import ValidationError

from orchestrator.axes import AxisValue, AxisValues
from orchestrator.backend import TrialTask
from orchestrator.designs.optuna import seconds_of
from orchestrator.launch import Study
from orchestrator.ledger import Ledger
from orchestrator.ledger.parts import DAMAGED_FOLDER
from orchestrator.plan import resolve_cell, trial_signature
from orchestrator.points import baseline_values, is_allowed, point_name, settled_point
from orchestrator.resolving import Summarise
from orchestrator.tuning.objectives import objectives, search_config
from orchestrator.tuning.optimizer import Optimizer, Outcome, Proposal
from trainables.config import CellConfig

MAX_REPEATS = 40
"""Proposals in a row that bring no new trial before the space counts as exhausted."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A point of the space as a trial."""

    values: dict[str, AxisValue]
    config: CellConfig
    signature: str


class Search:
    """Asks for one trial after another until the budget is spent, the time is up or the space is exhausted."""

    def __init__(self, study: Study, ledger: Ledger, summarise: Summarise) -> None:
        """Take up a search where it was left. Only for the holder of the ledger's lock, while no trial runs."""
        self.space = study.space
        self.config = search_config(study.space.config)
        self.objectives = objectives(study.space.config)
        self.seed = study.space.config.first_seeds[0]
        self.baseline, _ = baseline_values(self.space, summarise)
        self.notes: list[str] = []
        """What the user should know, each once."""
        self.is_over = False
        """Whether no further trial will be asked for."""
        self._summarise = summarise
        self._ledger = ledger
        self._known: dict[str, Candidate] = {}
        """Signature -> the point it belongs to."""
        self.records: dict[str, Record] = {record["signature"]: record for record in ledger.records()}
        """Signature -> how the trial stands: the ledger's rows, and what ended in this launch."""
        # Only what was set aside can carry the number of an attempt at a trial without a record.
        self._was_damaged = (study.ledger_folder / DAMAGED_FOLDER).is_dir()
        default = self.candidate(self.baseline)
        self.default = default
        self.optimizer = Optimizer(
            study.folder,
            self._identity(default),
            self.space.config.axes,
            self.baseline,
            self.config,
            [objective.higher_is_better for objective in self.objectives],
        )
        self.notes += self.optimizer.notes
        self._numbers: dict[str, list[int]] = {}
        """Signature of a running trial -> the proposals it answers."""
        self._repeats = 0
        self._resumed = self._left_running()
        if self.optimizer.is_new:
            self._take_over_ledger()
            known = default.signature in self.optimizer.signatures()
            if not known and not self.optimizer.enqueue(self.baseline, "default"):
                self.notes.append(
                    "the untuned default lies on no step of the axes: only the last test tries it"
                )
        self._asked = set(self.optimizer.signatures())
        self._deadline = self._until()

    # Asking

    def next_task(self) -> TrialTask | None:
        """The next trial to run; None when none is to be run now, and for good once `is_over`."""
        while not self.is_over:
            proposal = self._next_proposal()
            if proposal is None:
                return None
            if (task := self._task(proposal)) is not None:
                return task
        return None

    def num_left(self) -> int:
        """Trials that the budget still has room for, running ones included."""
        return max(self.config.trials - self.num_ended(), len(self._numbers))

    def num_ended(self) -> int:
        """Trials of this search that have ended, in this launch or before."""
        return sum(signature in self.records for signature in self._asked)

    def counts(self) -> dict[str, int]:
        """How the trials of this search stand, and how many proposals were answered without a new one."""
        states = [self.records[name]["status"] for name in self._asked if name in self.records]
        counted = {state: states.count(state) for state in ("done", "pruned", "failed")}
        answered = self.optimizer.count("COMPLETE", "PRUNED", "FAIL") - len(states)
        return counted | {"answered": max(answered, 0)}

    def _next_proposal(self) -> Proposal | None:
        if self._is_late():
            self._end("the time is up")
            return None
        if self._resumed:
            return self._resumed.pop(0)
        if len(self._asked) >= self.config.trials:
            self._end("")
            return None
        if self._repeats >= MAX_REPEATS:
            if not self._numbers:  # Else their ends may lead the sampler elsewhere.
                self._end(
                    f"{MAX_REPEATS} proposals in a row had been tried before: the space seems exhausted"
                )
            return None
        proposal = self.optimizer.ask()
        if proposal is None:
            self._end("every point of the grid has been tried")
        return proposal

    def _task(self, proposal: Proposal) -> TrialTask | None:
        """The trial of a proposal; None where it is answered at once or by a trial that is running."""
        number = proposal.number
        try:
            candidate = self._checked(proposal.values)
        except ValueError as error:
            self._repeats += 1
            self.optimizer.tell(number, "failed", reason=str(error))
            return None
        signature = candidate.signature
        if proposal.signature != signature:
            self.optimizer.claim(number, signature)
        self._asked.add(signature)
        if signature in self.records or signature in self._numbers:
            self._repeats += 1
            self._numbers.setdefault(signature, []).append(number)
            if signature in self.records:
                self._tell(signature, self.records[signature])
            return None
        self._repeats = 0
        self._numbers[signature] = [number]
        return self._as_task(candidate, number)

    def _as_task(self, candidate: Candidate, number: int) -> TrialTask:
        return TrialTask(
            signature=candidate.signature,
            attempt=self._ledger.next_attempt(candidate.signature) if self._was_damaged else 1,
            cell=point_name(candidate.values, self.baseline),
            seed=self.seed,
            axis_values=dict(candidate.values),
            config=candidate.config.model_dump(mode="json"),
            num_epochs=candidate.config.training.epochs,
        )

    # Telling

    def stop_reason(self, signature: str, metrics: Mapping[str, float]) -> str | None:
        """Why a trial should stop after an epoch with these means, or None."""
        name = self.config.pruning.metric
        if self.config.pruner == "none" or name not in metrics or signature not in self._numbers:
            return None
        epoch, loss = int(metrics["epoch"]), metrics[name]
        if not any(self.optimizer.should_stop(number, epoch, loss) for number in self._numbers[signature]):
            return None
        rule = "the median of the others" if self.config.pruner == "median" else "those that may go on"
        return f"{name} {loss:.4g} after epoch {epoch} is worse than {rule}"

    def ended(self, record: Record) -> None:
        """A trial ended and is committed: done, failed or pruned, as its record says."""
        self._repeats = 0
        self.records[record["signature"]] = record
        self._tell(record["signature"], record)

    def knows(self, signature: str) -> bool:
        """Whether a trial's end is on record."""
        return signature in self.records

    def _tell(self, signature: str, record: Record) -> None:
        """Answer every proposal that waits for this trial."""
        outcome, values, reason = self._outcome(record)
        for number in self._numbers.pop(signature, []):
            self.optimizer.tell(number, outcome, values, reason)

    def _outcome(self, record: Record) -> tuple[Outcome, list[float], str]:
        reason = record.get("reason") or ""
        if record["status"] == "pruned":
            return "pruned", [], reason
        if record["status"] != "done":
            return "failed", [], reason
        return "done", self.values_of(record), reason

    def values_of(self, record: Record) -> list[float]:
        """The objectives of a done trial, NaN where its record has none."""
        config = record_config(record)
        return [objective.of(record, config) for objective in self.objectives]

    # Points

    def candidate(self, values: AxisValues) -> Candidate:
        """The trial at a point. Raises pydantic's ValidationError where the settings exclude each other."""
        acting, _ = settled_point(self.space.config, values, self.baseline)
        config = resolve_cell(self.space, acting, summarise=self._summarise)
        domain = self._summarise(config.domain)
        signature = trial_signature(config, self.seed, parent=None, domain=domain)
        return self._known.setdefault(signature, Candidate(acting, config, signature))

    def _checked(self, values: AxisValues) -> Candidate:
        """As `candidate`; raises ValueError, in words, for any point that cannot be trained."""
        if not is_allowed(self.space.config, values, self.baseline):
            raise ValueError("excluded by a constraint of the space")
        try:
            candidate = self.candidate(values)
        except ValidationError as error:
            raise ValueError("; ".join(details["msg"] for details in error.errors())) from error
        problems = list(candidate.config.editor.check(self._summarise(candidate.config.domain).shape))
        if problems:
            raise ValueError("; ".join(problems))
        return candidate

    # Taking up

    def _left_running(self) -> list[Proposal]:
        """What a killed launch left: told where the ledger knows the end, else to be run first."""
        again = []
        for proposal in self.optimizer.running():
            if proposal.signature is None:
                self.optimizer.tell(proposal.number, "failed", reason="its launch was killed before it began")
            elif proposal.signature in self.records:
                self._numbers.setdefault(proposal.signature, []).append(proposal.number)
                self._tell(proposal.signature, self.records[proposal.signature])
            else:
                again.append(proposal)
        return again

    def _take_over_ledger(self) -> None:
        """Tell a new Optuna study what the ledger holds of its points: an older space's, or a lost journal's."""
        known = [(record, self._point_of(record)) for record in self.records.values()]
        taken = 0
        for record, values in known:
            if values is not None:
                outcome, told, reason = self._outcome(record)
                taken += self.optimizer.add(values, record["signature"], outcome, told, reason)
        if taken:
            self.notes.append(
                f"{taken} trials of the ledger are points of this space; they are not run again"
            )

    def _point_of(self, record: Record) -> dict[str, AxisValue] | None:
        """The point that a record's trial has in this space, or None where it would be another trial."""
        said = record["axis_values"]  # text in the ledger's rows, a mapping in a worker's record
        values = {**self.baseline, **(json.loads(said) if isinstance(said, str) else said)}
        values = {name: value for name, value in values.items() if name in self.baseline}
        try:
            candidate = self._checked(values)
        except (ValueError, KeyError):
            return None
        return candidate.values if candidate.signature == record["signature"] else None

    def enqueue_earlier(self, points: Sequence[tuple[AxisValues, str]]) -> int:
        """Let points that did well elsewhere be tried first; how many of them are points of this space."""
        if not self.optimizer.is_new:
            return 0
        full = [({**self.baseline, **values}, origin) for values, origin in points]
        return sum(self.optimizer.enqueue(values, origin) for values, origin in full)

    def _identity(self, default: Candidate) -> str:
        """Name of the Optuna study: another one where results would not be comparable or axes differ."""
        config = self.space.config.model_dump(mode="json")
        decided = {
            "axes": config["axes"],
            "constraints": config["constraints"],
            "objectives": [objective.name for objective in self.objectives],
            "default": default.signature,
        }
        digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.space.name} {digest}"

    def _until(self) -> float | None:
        timeout = self.config.timeout
        return None if timeout is None else now() + seconds_of(timeout)

    def _is_late(self) -> bool:
        return self._deadline is not None and now() >= self._deadline

    def _end(self, note: str) -> None:
        self.is_over = True
        if note:
            self.notes.append(note)

    # Results

    def done(self) -> Iterator[Record]:
        """Records of this search's finished trials, in the order they were asked for."""
        for signature in self.optimizer.signatures():
            record = self.records.get(signature)
            if record is not None and record["status"] == "done":
                yield record

    def asked(self) -> list[Candidate]:
        """Every trial of this search that has a record, in the order they were asked for."""
        names = [name for name in self.optimizer.signatures() if name in self.records]
        for name in names:
            if name not in self._known:
                self._point_of(self.records[name])
        return [self._known[name] for name in names if name in self._known]


def record_config(record: Record) -> CellConfig:
    """The configuration in a record, be it the worker's or a row of the ledger."""
    config = record["config"]
    return CellConfig.model_validate_json(config if isinstance(config, str) else json.dumps(config))
