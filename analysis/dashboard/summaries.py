"""What the dashboard says of a study in a few words, from what is known of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.dashboard.studies import Entry, Standing
from analysis.dashboard.totals import is_number
from trainables.wording import duration

State = Literal["running", "finished", "failed", "stopped", "new", "unreadable", "reading"]

STATE_WORDS: dict[State, str] = {
    "running": "running",
    "finished": "finished",
    "failed": "finished with failures",
    "stopped": "stopped",
    "new": "not started",
    "unreadable": "cannot be read",
    "reading": "being read",
}
MAX_SECONDS = 1e9
"""A launch that expects to take decades does not know."""
NOT_JUDGED = "not judged yet"
"""Of a study that the dashboard has not come to."""
OPEN = ("waiting", "interrupted", "running")
"""States of trials that are still to end."""


@dataclass(frozen=True)
class Summary:
    """A study in a row of the list."""

    key: str
    name: str
    question: str
    state: State
    word: str
    sentence: str
    """What its state means and what to do."""
    num_ended: int
    num_trials: int
    counts: str
    spent: str
    """Hours of trials that have ended."""
    left: str
    verdicts: str
    damaged: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """For a page's script."""
        return {**vars(self), "damaged": list(self.damaged)}

    @property
    def order(self) -> tuple[bool, str]:
        """Running studies first, then by name."""
        return self.state != "running", self.name


def summary(entry: Entry, verdicts: Mapping[str, str] | None = None) -> Summary:
    """A study in a few words; `verdicts` by cell, where they are known."""
    standing: Standing = entry.standing or {}
    counts = _counts(standing)
    state = state_of(entry)
    num_ended = counts.total() - sum(counts[one] for one in OPEN)
    left = standing.get("seconds_left")
    return Summary(
        key=entry.key,
        name=str(standing.get("name", entry.folder.name)),
        question=str(standing.get("question", "")),
        state=state,
        word=STATE_WORDS[state],
        sentence=_sentence(entry, state, num_ended, counts.total()),
        num_ended=num_ended,
        num_trials=counts.total(),
        counts=", ".join(f"{count} {name}" for name, count in counts.items() if count),
        spent=", ".join(
            f"{duration(seconds)} on {device}" for device, seconds in entry.totals.seconds.items()
        ),
        left=f"about {duration(left)}" if is_number(left) and 0 < left < MAX_SECONDS else "",
        verdicts=_verdicts(verdicts, num_ended),
        damaged=standing.get("damaged", ()),
    )


def _verdicts(verdicts: Mapping[str, str] | None, num_ended: int) -> str:
    if verdicts is None:
        return NOT_JUDGED if num_ended else ""
    return "; ".join(f"{word}: {count}" for word, count in Counter(verdicts.values()).most_common())


def _counts(standing: Standing) -> Counter[str]:
    """State -> how many trials."""
    counts: dict[str, int] = standing.get("counts", {})
    return Counter(counts)


def state_of(entry: Entry) -> State:
    """The one word for a study."""
    if entry.problem is not None:
        return "unreadable"
    if entry.standing is None:
        return "reading"
    launch, counts = entry.standing["launch"], _counts(entry.standing)
    if launch is not None and launch["is_alive"]:
        return "running"
    if any(counts[one] for one in OPEN):
        return "new" if counts.total() == counts["waiting"] and launch is None else "stopped"
    return "failed" if counts["failed"] or counts["skipped"] else "finished"


def _sentence(entry: Entry, state: State, num_ended: int, num_trials: int) -> str:
    launch = (entry.standing or {}).get("launch")
    match state:
        case "unreadable":
            return str(entry.problem)
        case "reading":
            return "The dashboard has just started and is reading it."
        case "new":
            return "Nothing has run yet."
        case "stopped" if launch is not None:
            return str(launch["silence"])
        case "stopped":
            return f"Stopped at {num_ended} of {num_trials}; run the same command to go on."
    return ""


def live(entry: Entry, glyphs: Mapping[str, str]) -> dict[str, Any]:
    """What runs in a study now: trials at work, the launch, and the state of every trial."""
    standing = entry.standing
    if standing is None:
        return {"changed_at": entry.stamp.changed_at, "launch": None, "running": [], "matrix": None}
    return {
        "changed_at": entry.stamp.changed_at,
        "launch": standing["launch"],
        "running": [_at_work(trial) for trial in standing["trials"] if trial["state"] == "running"],
        "matrix": _matrix(standing, glyphs),
    }


def _at_work(trial: Mapping[str, Any]) -> dict[str, Any]:
    """A running trial; what its launch says is anybody's and taken only where it is of its kind."""
    texts = {name: trial[name] if isinstance(trial[name], str) else None for name in ("host", "device")}
    numbers = {
        name: trial[name] if is_number(trial[name]) else None
        for name in ("epoch", "num_epochs", "loss", "heard_at", "attempt")
    }
    return {"cell": trial["cell"], "seed": trial["seed"], "signature": trial["signature"], **texts, **numbers}


def _matrix(standing: Standing, glyphs: Mapping[str, str]) -> dict[str, Any]:
    """Seeds, and for every cell the state of its trial of each seed; None where the plan has none."""
    seeds = sorted({trial["seed"] for trial in standing["trials"]})
    cells: dict[str, dict[int, str]] = {}
    for trial in standing["trials"]:
        cells.setdefault(trial["cell"], {})[trial["seed"]] = trial["state"]
    rows = [{"cell": cell, "states": [own.get(seed) for seed in seeds]} for cell, own in cells.items()]
    return {"seeds": seeds, "rows": rows, "glyphs": dict(glyphs)}
