"""The dashboard's numbers for Prometheus, in its text format (version 0.0.4).

Labels are a study and a cell, never a trial: a time series for every trial would outlive it in the database. Proposals
of a search are cells of their own and as good as trials, so those of a search share one label; so do the cells of a
study beyond the first `MAX_CELLS`, and of all studies beyond `MAX_SERIES`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
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


class Lines:
    """Metric without its prefix -> its values, each as a line of the text format."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {name: [] for name in HELP}

    def add(self, metric: str, value: float, **labels: str) -> None:
        """One more value, for a set of labels."""
        named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        full = f"{_PREFIX}_{metric}{{{named}}}" if named else f"{_PREFIX}_{metric}"
        self.values[metric].append(f"{full} {_number(value)}\n")

    def join(self, other: "Lines") -> None:
        """All values of others."""
        for metric, values in other.values.items():
            self.values[metric] += values

    @property
    def text(self) -> str:
        """All of it, a metric after the other; nothing of one without a value."""
        return "".join(
            f"# HELP {_PREFIX}_{metric} {HELP[metric]}\n# TYPE {_PREFIX}_{metric} gauge\n{''.join(values)}"
            for metric, values in self.values.items()
            if values
        )


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


class Metrics:
    """The metrics of a results folder; what they say of a study is kept until it changes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Entry, Mapping[str, str], Lines]] = {}
        """Key of a study -> what was known of it, its cells with their labels, and its lines."""

    def text(self, entries: Sequence[Entry], verdicts: Mapping[str, Mapping[str, str]]) -> str:
        """All metrics of these studies; `verdicts` by study and cell, of those that have been judged."""
        lines = Lines()
        states = Counter(state_of(entry) for entry in entries)
        for state in STATE_WORDS:
            lines.add("studies", states[state], state=state)
        num_series, kept = 0, {}
        for entry in entries:
            cells = {} if entry.standing is None else _cells(entry, MAX_SERIES - num_series)
            num_series += len(set(cells.values()))
            known = self._kept.get(entry.key)
            if known is None or known[0] is not entry or known[1] != cells:
                known = (entry, cells, _lines_of(entry, cells))
            kept[entry.key] = known
            lines.join(known[2])
            for cell, word in verdicts.get(entry.key, {}).items():
                if cells.get(cell) == cell:
                    for one in VERDICTS:
                        lines.add("verdict", one == word, study=_name(entry), cell=cell, verdict=one)
        self._kept = kept
        return lines.text


def _lines_of(entry: Entry, cells: Mapping[str, str]) -> Lines:
    """What is said of a study whose cells have these labels."""
    lines, study, standing = Lines(), _name(entry), entry.standing
    lines.add("study_up", entry.problem is None and standing is not None, study=study)
    if standing is None:
        return lines
    joined: dict[str, Totals] = {}
    for cell, totals in entry.cells.items():
        joined.setdefault(cells[cell], Totals()).join(totals)
    for label, totals in joined.items():
        _add_cell(lines, {"study": study, "cell": label}, totals)
    launch = standing["launch"]
    if launch is not None:
        lines.add("launch_alive", launch["is_alive"], study=study)
        lines.add("heartbeat_timestamp_seconds", launch["beat_at"], study=study)
    if is_number(standing["seconds_left"]):
        lines.add("seconds_left", standing["seconds_left"], study=study)
    lines.add("damaged_files", len(standing["damaged"]), study=study)
    return lines


def _add_cell(lines: Lines, labels: Labels, totals: Totals) -> None:
    for state in TRIAL_STATES:
        lines.add("trials", totals.counts[state], **labels, state=state)
    lines.add("failures", totals.counts["failed"] + totals.counts["skipped"], **labels)
    lines.add("trial_seconds", sum(totals.seconds.values()), **labels)
    lines.add("restarts", totals.restarts, **labels)
    if totals.losses:
        lines.add("loss", mean(totals.losses), **labels)
    if totals.shares:
        lines.add("epochs_running", mean(totals.shares), **labels)


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
