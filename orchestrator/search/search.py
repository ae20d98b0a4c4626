"""A queue that does not know its trials beforehand: which one comes next follows from how others ended.

Knows no back end, no Optuna.

The ledger is the truth. What it holds is never run again: a point proposed twice is answered from it, and a
search that lost its journal is told it anew.

A point has a trial for every seed of the space, and Optuna hears the mean of each objective over them. The first seed
speaks for the point while it trains: a pruner looks at its epochs alone, and the other seeds start once it is done.
Without a pruner they start at once. A seed that fails fails the point.
"""

import hashlib
import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic as now

from orchestrator.execution.ending import LaunchEnd
from orchestrator.execution.queue import TrialQueue
from orchestrator.execution.tasks import Record, TrialTask
from orchestrator.ledger import Ledger
from orchestrator.ledger.files import writing
from orchestrator.ledger.parts import DAMAGED_FOLDER
from orchestrator.search.candidates import Candidate, Candidates
from orchestrator.search.objectives import objectives, search_config
from orchestrator.search.optimizer import Optimizer, Outcome, Proposal
from orchestrator.space.axes import AxisValues
from orchestrator.space.points import point_name
from orchestrator.space.units import seconds_of
from orchestrator.study.launch import Study
from orchestrator.study.reuse import next_attempt

MAX_REPEATS = 40
"""Proposals in a row that bring no new trial before the space counts as exhausted."""


class Search(TrialQueue):
    """Hands out one trial after another until the budget is spent, the time is up or the space is exhausted.

    Where its journal cannot be written, every method that takes a trial or hears of one raises LedgerError.
    """

    depends_on_ends = True

    def __init__(self, study: Study, ledger: Ledger, end: LaunchEnd | None = None) -> None:
        """Take up a search where it was left. Only for the holder of the ledger's lock, while no trial runs."""
        super().__init__([], end=end)
        self.on_new: Callable[[TrialTask], None] = lambda task: None
        """Hears of every trial before it starts."""
        self.space = study.space
        self.folder = study.folder
        self.config = search_config(study.space.config)
        self.objectives = objectives(study.space)
        self.candidates = Candidates(study.space)
        self._first_seed_decides = self.config.pruner != "none"
        """Whether the other seeds of a point wait for the first one."""
        self.baseline, self.default = self.candidates.baseline, self.candidates.default
        self.notes: list[str] = []
        """What the user should know, each once."""
        self._is_over = False
        self.records: dict[str, Record] = {record["signature"]: record for record in ledger.records()}
        """Signature -> how the trial stands: the ledger's rows, and what ended in this launch."""
        self.notes += self._other_code()
        # Only what was set aside can carry the number of an attempt at a trial without a record.
        was_damaged = (study.ledger_folder / DAMAGED_FOLDER).is_dir()
        self._attempts = ledger.attempts() if was_damaged else {}
        self.optimizer = Optimizer(
            study.folder,
            self._identity(),
            self.space.config.axes,
            self.baseline,
            self.config,
            [objective.higher_is_better for objective in self.objectives],
        )
        self.notes += self.optimizer.notes
        self._numbers: dict[str, list[int]] = {}
        """Signature of a point that has trials to run or running -> the proposals it answers."""
        self._next: deque[TrialTask] = deque()
        """Trials of such points that are to run next."""
        self._repeats = 0
        self._resumed = self._left_running()
        if self.optimizer.is_new:
            self._take_over_ledger()
            known = self.default.signature in self.optimizer.signatures()
            if not known and not self.optimizer.enqueue(self.baseline, "default"):
                self.notes.append("the untuned default is off the grid: only the last test tries it")
        timeout = self.config.timeout
        self._deadline = math.inf if timeout is None else now() + seconds_of(timeout)

    def _other_code(self) -> list[str]:
        """A note where earlier trials were made by other code: a search goes on, for it only chooses settings."""
        code = self.space.family.code(self.default.config)
        own = (self.records[name] for name in self.default.signatures if name in self.records)
        if all(record["code"] == code for record in own if record["status"] == "done"):
            return []
        return [
            "source code has changed since this search began: what it found so far may not hold for today's code"
        ]

    # What back ends ask, and tell

    def take(self) -> TrialTask | None:
        """The next trial that the search asks for; None when there is none now, any more or in the time left."""
        if not self.end.fits(None, self._seconds_until_free()):
            return None
        with writing(self.folder):
            task = self._next_task()
        if task is not None:
            self.tasks[task.signature] = task
            self._set(task.signature, "running")
            self.on_new(task)
        return task

    def stop_reason(self, signature: str, metrics: Mapping[str, float]) -> str | None:
        """Why the pruner would stop a trial after an epoch with these means, or None."""
        name = self.config.pruning.metric or self.space.family.pruned_by
        if self.config.pruner == "none" or name not in metrics or signature not in self._numbers:
            return None
        epoch, loss = int(metrics["epoch"]), metrics[name]
        with writing(self.folder):
            if not any(
                self.optimizer.should_stop(number, epoch, loss) for number in self._numbers[signature]
            ):
                return None
        rule = "the median of the others" if self.config.pruner == "median" else "those that may go on"
        return f"{name} {loss:.4g} after epoch {epoch} is worse than {rule}"

    def mark_ended(self, record: Record) -> None:
        """A trial is committed: what comes next may follow from its end."""
        self._tell(record)
        super().mark_ended(record)

    def mark_failed(self, signature: str, reason: str) -> None:
        """Also where there is no record from the trial itself, because its worker was lost."""
        if signature not in self.records:
            self._tell(self._record(signature, "failed", reason))
        super().mark_failed(signature, reason)

    def mark_pruned(self, signature: str, reason: str) -> None:
        """The trial was stopped as `stop_reason` asked."""
        self._tell(self._record(signature, "pruned", reason))
        super().mark_pruned(signature, reason)

    @property
    def num_expected(self) -> int:
        """Trials that the budget still has room for, running ones included."""
        return max(self.config.trials - len(self.asked()), len(self._numbers)) * len(self.candidates.seeds)

    @property
    def is_handed_out(self) -> bool:
        """Whether no further trial will be asked for."""
        return self._is_over

    @property
    def is_finished(self) -> bool:
        """Whether nothing is running and nothing will."""
        return self._is_over and self.count("running", "recording") == 0

    def _may_begin(self) -> bool:
        return not self._is_over and self.end.fits(None)

    def _record(self, signature: str, status: str, reason: str) -> Record:
        return {**self.tasks[signature].in_record(), "status": status, "reason": reason}

    # Which trial is next

    def _next_task(self) -> TrialTask | None:
        """The next trial to run; None when none is to be run now, and for good once the search is over."""
        while not self._is_over:
            if now() >= self._deadline:
                self._end("the time is up")
                return None
            if not self._next:
                proposal = self._next_proposal()
                if proposal is None:
                    return None
                self._take_up(proposal)
            if self._next:
                return self._next.popleft()
        return None

    def _next_proposal(self) -> Proposal | None:
        if self._resumed:
            return self._resumed.pop(0)
        if len(self.optimizer.signatures()) >= self.config.trials:
            if not self._waits_for_first_seeds():
                self._end("")
            return None
        if self._repeats >= MAX_REPEATS:
            if not self._numbers:  # Else their ends may lead the sampler elsewhere.
                self._end(
                    f"{MAX_REPEATS} proposals in a row had been tried before: the space seems exhausted"
                )
            return None
        proposal = self.optimizer.ask()
        if proposal is None and not self._waits_for_first_seeds():
            self._end("every point of the grid has been tried")
        return proposal

    def _take_up(self, proposal: Proposal) -> None:
        """Queue the trials of a proposal, unless it is answered at once or by trials that are running."""
        number = proposal.number
        try:
            candidate = self.candidates.checked(proposal.values)
        except ValueError as error:
            self._repeats += 1
            self.optimizer.tell(number, "failed", reason=str(error))
            return
        signature = candidate.signature
        if proposal.signature != signature:
            self.optimizer.claim(number, signature)
        is_new = signature not in self._numbers and self._outcome_of(candidate) is None
        self._numbers.setdefault(signature, []).append(number)
        if is_new:
            self._repeats = 0
            self._queue_trials(candidate)
        else:
            self._repeats += 1
            self._answer(candidate)

    def _queue_trials(self, candidate: Candidate) -> None:
        """Queue what of a point's trials may start now and has no record."""
        count = 1 if self._first_seed_decides and candidate.signature not in self.records else None
        for seed, signature in list(zip(self.candidates.seeds, candidate.signatures, strict=True))[:count]:
            if signature not in self.records:
                self._next.append(self._as_task(candidate, seed, signature))

    def _waits_for_first_seeds(self) -> bool:
        """Whether trials that are running may make others ready."""
        return self._first_seed_decides and len(self.candidates.seeds) > 1 and bool(self._numbers)

    def _as_task(self, candidate: Candidate, seed: int, signature: str) -> TrialTask:
        return TrialTask(
            signature=signature,
            attempt=next_attempt(self._attempts, signature),
            cell=point_name(candidate.values, self.baseline),
            seed=seed,
            axis_values=dict(candidate.values),
            config=candidate.config.model_dump(mode="json"),
            num_epochs=self.space.family.num_epochs(candidate.config),
            is_resumable=self.space.family.is_resumable(candidate.config),
            code=self.space.family.code(candidate.config),
        )

    # What an end means

    def _tell(self, record: Record) -> None:
        """A trial ended and is committed: done, failed or pruned, as its record says."""
        self._repeats = 0
        self.records[record["signature"]] = record
        with writing(self.folder):
            candidate = self.candidates.of_record(record)
            assert candidate is not None, "only trials of this search end here"
            is_first = record["signature"] == candidate.signature
            if self._first_seed_decides and is_first and record["status"] == "done":
                self._queue_trials(candidate)
            self._answer(candidate)

    def _answer(self, candidate: Candidate) -> None:
        """Answer every proposal that waits for this point, once it has ended."""
        if (ending := self._ending(candidate)) is None:
            return
        # Where a seed has failed, the others need not start any more.
        self._next = deque(task for task in self._next if task.signature not in candidate.signatures)
        for number in self._numbers.pop(candidate.signature, []):
            self.optimizer.tell(number, *ending)

    def _outcome_of(self, candidate: Candidate) -> Outcome | None:
        """How a point ended; None while a trial of it is missing and none has been pruned or has failed."""
        states = [self.records[name]["status"] for name in candidate.signatures if name in self.records]
        if all(state == "done" for state in states):
            return "done" if len(states) == len(candidate.signatures) else None
        return "pruned" if "pruned" in states else "failed"

    def _ending(self, candidate: Candidate) -> tuple[Outcome, list[float], str] | None:
        """How a point ended, its objectives where it is done, and why it is not; None as for `_outcome_of`."""
        if (outcome := self._outcome_of(candidate)) is None:
            return None
        if outcome == "done":
            return outcome, self.mean_values(candidate), ""
        records = [self.records[name] for name in candidate.signatures if name in self.records]
        reasons = (r["reason"] for r in records if r["status"] != "done" and r.get("reason"))
        return outcome, [], next(reasons, "")

    def mean_values(self, candidate: Candidate) -> list[float]:
        """Mean of every objective over the trials of a point that are all done; NaN where a record has none."""
        family = self.space.family
        values = [
            [objective.of(self.records[name], candidate.config, family) for objective in self.objectives]
            for name in candidate.signatures
        ]
        return [math.fsum(of_seeds) / len(of_seeds) for of_seeds in zip(*values, strict=True)]

    # Taking up

    def _left_running(self) -> list[Proposal]:
        """What a killed launch left: told where the ledger knows the end, else to be run first."""
        again = []
        for proposal in self.optimizer.running():
            if proposal.signature is None:
                self.optimizer.tell(proposal.number, "failed", reason="its launch was killed before it began")
                continue
            candidate = self.candidates.checked(proposal.values)  # It was a trial, so it can be one.
            if self._outcome_of(candidate) is None:
                again.append(proposal)
            else:
                self._numbers.setdefault(candidate.signature, []).append(proposal.number)
                self._answer(candidate)
        return again

    def _take_over_ledger(self) -> None:
        """Tell a new Optuna study what the ledger holds of its points: an older space's, or a lost journal's."""
        taken = 0
        for candidate in self.candidates.of_records(self.records.values()).values():
            if (ending := self._ending(candidate)) is not None:
                taken += self.optimizer.add(candidate.values, candidate.signature, *ending)
        if taken:
            self.notes.append(
                f"{taken} trials of the ledger are points of this space; they are not run again"
            )

    def enqueue_earlier(self, points: Sequence[tuple[AxisValues, str]]) -> None:
        """Let a new search first try what did well in others, where it is a point of this space."""
        if not self.optimizer.is_new:
            return
        full = [({**self.baseline, **values}, origin) for values, origin in points]
        if taken := sum(self.optimizer.enqueue(values, origin) for values, origin in full):
            names = ", ".join(dict.fromkeys(origin for _, origin in points))
            self.notes.append(f"{taken} points that did well in other searches are tried first ({names})")

    def _identity(self) -> str:
        """Name of the Optuna study: another one where results would not be comparable or axes differ."""
        config = self.space.config.model_dump(mode="json")
        decided = {
            "axes": config["axes"],
            "constraints": config["constraints"],
            "objectives": [objective.name for objective in self.objectives],
            "default": self.default.signature,
        }
        if len(self.candidates.seeds) > 1:
            decided["seeds"] = self.candidates.seeds
        digest = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.space.name} {digest}"

    def _end(self, note: str) -> None:
        self._is_over = True
        if note:
            self.notes.append(note)

    # Results

    def counts(self) -> dict[str, int]:
        """How the points of this search stand, and how many proposals were answered without a new one."""
        states = [self._outcome_of(candidate) for candidate in self.asked()]
        counted = {state: states.count(state) for state in ("done", "pruned", "failed")}
        return counted | {"answered": max(self.optimizer.num_told - len(states), 0)}

    def done(self) -> list[Candidate]:
        """This search's points whose trials are all done, in the order they were asked for."""
        return [candidate for candidate in self.asked() if self._outcome_of(candidate) == "done"]

    def asked(self) -> list[Candidate]:
        """Every point of this search that has ended, in the order they were asked for."""
        # Its trials' records tell the point; of a point that failed there may be one of any seed.
        points = self.candidates.of_records(self.records.values())
        names = [name for name in self.optimizer.signatures() if name in points]
        return [points[name] for name in names if self._outcome_of(points[name]) is not None]
