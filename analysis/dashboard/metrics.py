"""The dashboard's numbers for Prometheus, in its text format (version 0.0.4).

Labels are a study and a cell, never a trial: a time series for every trial would outlive it in the database. Proposals
of a search are cells of their own and as good as trials, so those of a search share one label; so do the cells of a
study beyond the first `MAX_CELLS`, and of all studies beyond `MAX_SERIES`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean as mean

from analysis.dashboard.studies import Entry
from analysis.dashboard.summaries import STATE_WORDS, state_of
from analysis.dashboard.totals import Totals, is_number
from analysis.forming import FORMING, NOTHING

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_CELLS = 50
"""Cells of a study that have labels of their own."""
MAX_SERIES = 1_000
"""Pairs of a study and a cell in all."""
REST = "(others)"
ALL = "(search)"
TRIAL_STATES = ("done", "pruned", "failed", "skipped", "interrupted", "running", "waiting")
VERDICTS = ("helps", "hurts", "equivalent", "undecided", "estimate", FORMING, NOTHING)
_PREFIX = "asyrp_sweep"

Labels = Mapping[str, str]


@dataclass
class Family:
    """A metric, and its value for each set of labels."""

    name: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """One more value."""
        self.samples.append((labels, value))

    def lines(self) -> Iterable[str]:
        """As text; nothing where there is no value."""
        if self.samples:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} gauge"
        for labels, value in self.samples:
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield f"{self.name}{{{named}}} {_number(value)}" if named else f"{self.name} {_number(value)}"


HELP = {
    "studies": "Studies of the results folder by state.",
    "study_up": "Whether a study could be read: 1, or 0.",
    "trials": "Planned trials by the state that they are in.",
    "trial_seconds": "Wall time of trials that have ended, in seconds, failed ones included.",
    "restarts": "Attempts at trials beyond the first one of each.",
    "failures": "Trials that failed, or were skipped because a trial that they start from failed.",
    "loss": "Mean over a cell's running trials of the loss of their last epoch.",
    "epochs_running": "Mean over a cell's running trials of the share of epochs that they have done, from 0 to 1.",
    "seconds_left": "What the launch at work expects, in seconds.",
    "heartbeat_timestamp_seconds": "When the launch of a study was heard of last, in seconds since 1970.",
    "launch_alive": "Whether the launch of a study is alive: 1, or 0 where it fell silent.",
    "damaged_files": "Files of a study's ledger that are damaged.",
    "verdict": "1 for the verdict of a cell as it may be said now, of studies whose page somebody has opened.",
}
"""Metric without its prefix -> its meaning."""


def metrics(entries: Sequence[Entry], verdicts: Mapping[str, Mapping[str, str]]) -> str:
    """All metrics of these studies; `verdicts` by study and cell, of those that have been judged."""
    families = {name: Family(f"{_PREFIX}_{name}", text) for name, text in HELP.items()}
    states = Counter(state_of(entry) for entry in entries)
    for state in STATE_WORDS:
        families["studies"].add(states[state], state=state)
    num_series = 0
    for entry in entries:
        families["study_up"].add(entry.problem is None and entry.standing is not None, study=_name(entry))
        if entry.standing is not None:
            cells = _cells(entry, MAX_SERIES - num_series)
            num_series += len(set(cells.values()))
            _add_study(families, _name(entry), entry, cells)
            for cell, word in verdicts.get(entry.key, {}).items():
                if cells.get(cell) == cell:
                    for one in VERDICTS:
                        families["verdict"].add(one == word, study=_name(entry), cell=cell, verdict=one)
    return "".join(f"{line}\n" for family in families.values() for line in family.lines())


def _add_study(families: Mapping[str, Family], study: str, entry: Entry, cells: Mapping[str, str]) -> None:
    standing = entry.standing or {}
    joined: dict[str, Totals] = {}
    for cell, totals in entry.cells.items():
        joined.setdefault(cells[cell], Totals()).join(totals)
    for label, totals in joined.items():
        _add_cell(families, {"study": study, "cell": label}, totals)
    launch = standing["launch"]
    if launch is not None:
        families["launch_alive"].add(launch["is_alive"], study=study)
        families["heartbeat_timestamp_seconds"].add(launch["beat_at"], study=study)
    if is_number(standing["seconds_left"]):
        families["seconds_left"].add(standing["seconds_left"], study=study)
    families["damaged_files"].add(len(standing["damaged"]), study=study)


def _add_cell(families: Mapping[str, Family], labels: Labels, totals: Totals) -> None:
    for state in TRIAL_STATES:
        families["trials"].add(totals.counts[state], **labels, state=state)
    families["failures"].add(totals.counts["failed"] + totals.counts["skipped"], **labels)
    families["trial_seconds"].add(sum(totals.seconds.values()), **labels)
    families["restarts"].add(totals.restarts, **labels)
    if totals.losses:
        families["loss"].add(mean(totals.losses), **labels)
    if totals.shares:
        families["epochs_running"].add(mean(totals.shares), **labels)


def _cells(entry: Entry, room: int) -> dict[str, str]:
    """Cell -> its label; those that there is no room for share one."""
    names = list(entry.cells)
    if (entry.standing or {})["is_search"]:
        return dict.fromkeys(names, ALL)
    most = max(0, min(MAX_CELLS, room))
    kept = names if len(names) <= most else names[: max(0, most - 1)]
    return {name: name if name in kept else REST for name in names}


def _name(entry: Entry) -> str:
    """The folder's name: two folders may hold studies of one name."""
    return entry.key


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return repr(float(value)) if not float(value).is_integer() else str(int(value))
