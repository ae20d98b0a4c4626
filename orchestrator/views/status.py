"""What `status` shows: the cell x seed matrix of studies, from their ledgers and their running launch."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orchestrator.ledger import Ledger, LedgerError, StudyPlan, read_study, status_matrix
from orchestrator.ledger.study import may_hold_study
from orchestrator.views.live import matrix
from orchestrator.views.progress import Progress, Row
from orchestrator.views.running_file import COMPLETE, MACHINES, TOLD, LastEnd, Launch, RunningFile, read_end
from trainables.wording import duration

WATCH_SECONDS = 2.0
STATES = ("done", "pruned", "failed", "skipped", "interrupted", "running", "waiting")


@dataclass(frozen=True)
class StatusView:
    """A study as its files tell it."""

    folder: Path
    study: StudyPlan
    rows: dict[str, Row]
    """Signature -> trial, in plan order; `interrupted` trials show as waiting."""
    states: Mapping[str, str]
    """Signature -> state, as the ledger names it."""
    records: Mapping[str, Mapping[str, Any]]
    """Signature -> how its last attempt ended, for those that have."""
    reasons: dict[str, str]
    """Signature -> why a trial failed or was skipped."""
    launch: Launch | None
    """The one at work, or one that died at work."""
    damaged: tuple[str, ...]
    of_other_code: frozenset[str] = frozenset()
    """Signatures of the trials that other code has finished than that of the latest launch."""
    last_end: LastEnd | None = None
    """How the latest launch ended; None while one is at work, or has died without a word."""

    @property
    def is_running(self) -> bool:
        """Whether a launch is at work."""
        return self.launch is not None and self.launch.is_alive

    @property
    def seconds_left(self) -> float | None:
        """What the launch at work expects."""
        return self.launch.seconds_left if self.launch is not None else None


ReadLaunch = Callable[[Path], Launch | None]
"""From a study's folder to what its launch says of itself."""


def study_folders(results: Path) -> list[Path]:
    """Every folder of a results folder that holds a study, or what is left of one, by name.

    Raises LedgerError when there is none, OSError when the results folder cannot be read.
    """
    entries = results.absolute().iterdir() if results.exists() else ()
    folders = sorted(path for path in entries if may_hold_study(path))
    if not folders:
        raise LedgerError(f"{results} holds no study yet; asyrp-sweep run SPACE starts one")
    return folders


def views(
    folders: Sequence[Path], known: Mapping[Path, Ledger] | None = None
) -> tuple[list[StatusView], list[str]]:
    """The state of each study, and for each that cannot be read why not; `known` ledgers have been read before."""
    found, problems = [], []
    for folder in folders:
        try:
            found.append(view(folder, (known or {}).get(folder)))
        except (LedgerError, OSError) as error:
            problems.append(problem_of(folder, error))
    return found, problems


def problem_of(folder: Path, error: LedgerError | OSError) -> str:
    """Why a study cannot be read, in a line."""
    return f"{folder} cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def view(folder: Path, ledger: Ledger | None = None, read_launch: ReadLaunch | None = None) -> StatusView:
    """Read a study's state. Raises LedgerError when the folder holds none.

    A ledger that has been read before reads only what has come since. Without `read_launch` it waits where only that
    tells whether a launch is alive.
    """
    study = read_study(folder)
    ledger = ledger or Ledger(folder / "ledger")
    ledger.prefer(study.codes)
    records = ledger.records()
    launch = read_launch(folder) if read_launch is not None else RunningFile(folder).read()
    at_work = launch.running if launch is not None else {}
    found = status_matrix(study, records, at_work)
    states, rows = {}, {}
    for cell in study.cells:
        for trial in cell.trials:
            state = found[cell.cell][trial.seed]
            states[trial.signature] = state
            row = Row(cell.cell, trial.seed, "waiting" if state == "interrupted" else state)
            if trial.signature in at_work:
                for name in TOLD:
                    setattr(row, name, at_work[trial.signature].get(name))
            rows[trial.signature] = row
    reasons = {
        record["signature"]: record["reason"]
        for record in records
        if record["reason"] and states.get(record["signature"]) in ("failed", "skipped")
    }
    by_signature = {record["signature"]: record for record in records}
    other = frozenset(study.of_other_code(records) & states.keys())
    return StatusView(
        folder, study, rows, states, by_signature, reasons, launch, tuple(ledger.damaged), other,
        read_end(folder) if launch is None else None,
    )  # fmt: skip


def as_json(status: StatusView) -> dict[str, Any]:
    """The documented form of `status --json`."""
    counts = Counter(status.states.values())
    return {
        "name": status.study.name,
        "question": status.study.question,
        "folder": str(status.folder),
        "counts": {state: counts[state] for state in STATES},
        "seconds_left": status.seconds_left,
        "is_search": status.study.is_search,
        "launch": None if status.launch is None else _launch_as_json(status.launch),
        "last_end": None if status.last_end is None else asdict(status.last_end),
        "damaged": list(status.damaged),
        "trials": [_trial_as_json(status, signature, row) for signature, row in status.rows.items()],
    }


def _launch_as_json(launch: Launch) -> dict[str, Any]:
    told = {name: getattr(launch, name) for name in ("host", "process", "beat_at", "is_alive")}
    machines = {name: list(getattr(launch, name)) for name in MACHINES}
    return {**told, "silence": launch.silence, **machines, "on_machines": launch.on_machines}


def _trial_as_json(status: StatusView, signature: str, row: Row) -> dict[str, Any]:
    record = status.records.get(signature, {})
    is_running = row.state == "running"
    return {
        "cell": row.cell,
        "seed": row.seed,
        "signature": signature,
        "state": status.states[signature],
        "reason": status.reasons.get(signature),
        "is_of_other_code": signature in status.of_other_code,
        **{name: getattr(row, name) if is_running else None for name in TOLD},
        "attempt": record.get("attempt"),
        "wall_seconds": record.get("wall_seconds"),
        "device": record.get("device"),
    }


def show(found: Sequence[StatusView], console: Console) -> None:
    """Print the studies once."""
    for one in found:
        console.print(drawing(one, console))


def watch(folders: Sequence[Path], console: Console) -> list[str]:
    """Redraw until no launch is at work, nobody reads any more, or Ctrl-C; why studies could not be read."""
    ledgers = {folder: Ledger(folder / "ledger") for folder in folders}
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found, problems = views(folders, ledgers)
            live.update(Group(*(drawing(one, console) for one in found)), refresh=True)
            if console.quiet or not any(one.is_running for one in found):
                return problems
            time.sleep(WATCH_SECONDS)


def drawing(status: StatusView, console: Console) -> Group:
    """One study in at most the console's width."""
    counts = Counter(status.states.values())
    summary = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    if status.seconds_left:
        summary += f"; about {duration(status.seconds_left)} left"
    failed = [(status.rows[signature], reason) for signature, reason in status.reasons.items()]
    lines = [(line, "yellow") for line in _warnings(status)]
    lines += [(f"{row.cell} seed {row.seed} {row.state}: {reason}", "red") for row, reason in failed]
    lines += [
        (f"damaged: {name}; its trials count as not run, and a launch runs them again", "yellow")
        for name in status.damaged
    ]
    return Group(
        Text(f"{status.study.name}: {status.study.question}"),
        matrix(Progress(status.rows), console.width, len(status.rows) + 1, console.encoding),
        Text(summary),
        *(Text(line, style=style) for line, style in lines),
    )


def _warnings(status: StatusView) -> Iterator[str]:
    """What of a study's launches and trials is not as it should be."""
    if status.launch is not None and status.launch.silence is not None:
        yield status.launch.silence
    if status.launch is not None:
        yield from status.launch.on_machines
    if status.last_end is not None and status.last_end.why != COMPLETE:
        yield status.last_end.line
    if status.of_other_code:
        again = "count all the same" if status.study.reuses_changed_code else "wait for a launch to run again"
        yield f"{len(status.of_other_code)} trials were made by other code: they {again}"
