"""What `explain` shows: why a trial ran or did not, its settings, curve and log; or how two trials first differ.

Everything comes from the files of the studies, so it works while a launch is at work and after it has died.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.execution.worker import TRACEBACK_LINES
from orchestrator.ledger import Ledger, LedgerError, StudyCell, StudyPlan, read_study
from orchestrator.ledger.study import end_of_log, log_file
from orchestrator.space.mappings import leaves
from orchestrator.views.running_file import RunningFile
from orchestrator.views.status import problem_of, study_folders
from trainables.model_files import START_FILES
from trainables.wording import duration

SHORTEST = 4
"""Characters of a signature that are enough, where they name one trial."""
BAR = 24
"""Characters of the longest bar of a curve."""


@dataclass(frozen=True)
class Found:
    """A trial of a study, whether it has run or not."""

    folder: Path
    study: StudyPlan
    cell: StudyCell | None
    """None for a trial of an earlier plan."""
    name: str
    seed: int
    signature: str
    record: Mapping[str, Any] | None
    """None where no attempt at it has ended."""

    @property
    def config(self) -> dict[str, Any]:
        """Its settings by dotted path, as recorded; empty before it has run."""
        return _by_path(json.loads(self.record["config"])) if self.record else {}

    @property
    def provenance(self) -> dict[str, Any]:
        """Where and with what it ran, by dotted path; empty before it has run."""
        return _by_path(json.loads(self.record["provenance"] or "{}")) if self.record else {}

    @property
    def title(self) -> str:
        """Which trial it is, in one line."""
        return f"{self.study.name}: {self.name} seed {self.seed} ({self.signature})"


def find(trial: str, results: Path) -> Found:
    """The trial with this signature, a unique prefix of it, or `CELL:SEED`, in any study of a results folder.

    Raises LedgerError when none or several are meant.
    """
    matches, problems = [], []
    for folder in study_folders(results):
        try:
            matches += [found for found in _trials(folder) if _is_meant(found, trial)]
        except (LedgerError, OSError) as error:
            problems.append(problem_of(folder, error))
    by_signature = {found.signature: found for found in reversed(matches)}
    if len(by_signature) == 1:
        return next(iter(by_signature.values()))
    if not matches:
        none = (
            f"{results} holds no trial {trial!r}; give a signature of `asyrp-sweep status --json`, its first "
            f"{SHORTEST} characters or more, or CELL:SEED such as baseline:0"
        )
        raise LedgerError("\n".join([*problems, none]))
    several = "\n  ".join(found.title for found in matches)
    raise LedgerError(f"{trial!r} may be any of these trials; give one's signature:\n  {several}")


def explain(found: Found) -> Iterator[str]:
    """Lines on one trial."""
    yield found.title
    yield f"  {_why(found)}"
    yield from (f"  {line}" for line in _origin(found))
    yield from _against_baseline(found)
    if found.record is not None:
        yield from (f"  note: {note}" for note in found.record["notes"] or ())
    yield from _curve(found)
    path = found.folder / log_file(found.signature)
    end = end_of_log(found.folder, found.signature, TRACEBACK_LINES)
    yield f"log {path}:" if end else f"no log: {path} is not there"
    yield from (f"  {line}" for line in end.splitlines())


def first_difference(one: Found, other: Found) -> Iterator[str]:
    """Lines on the first difference between two trials: their settings, what they ran on, and their numbers."""
    yield f"A  {one.title}"
    yield f"B  {other.title}"
    if one.signature == other.signature:
        yield "They are the same trial."
    differing = [*_differences(one.config, other.config)]
    if one.seed != other.seed:
        differing.insert(0, f"seed: A {one.seed}, B {other.seed}")
    for column, word in (("code", "source code"), ("parent", "parent")):
        a, b = (found.record[column] if found.record else None for found in (one, other))
        if a != b:
            differing.append(f"{word}: A {a}, B {b}")
    unknown = [name for name, found in (("A", one), ("B", other)) if found.record is None]
    if unknown:
        yield f"{' and '.join(unknown)} has not run: its settings are not on record."
        return
    yield "settings differ:" if differing else "identical settings"
    yield from (f"  {line}" for line in differing)
    ran = [line for line in _differences(one.provenance, other.provenance) if not line.startswith("process")]
    if ran:
        yield "ran on:"
        yield from (f"  {line}" for line in ran)
    yield _first_other_number(one, other)


# Finding


def _trials(folder: Path) -> Iterator[Found]:
    study = read_study(folder)
    ledger = Ledger(folder / "ledger")
    ledger.prefer(study.codes)
    records = {record["signature"]: record for record in ledger.records()}
    for cell in study.cells:
        for trial in cell.trials:
            record = records.pop(trial.signature, None)
            yield Found(folder, study, cell, cell.cell, trial.seed, trial.signature, record)
    for signature, record in records.items():
        yield Found(folder, study, None, record["cell"], record["seed"], signature, record)


def _is_meant(found: Found, trial: str) -> bool:
    if len(trial) >= SHORTEST and found.signature.startswith(trial):
        return True
    return trial in (f"{found.name}:{found.seed}", f"{found.study.name}/{found.name}:{found.seed}")


# One trial


def _why(found: Found) -> str:
    """Why it ran or did not, in one sentence."""
    launch = RunningFile(found.folder).read()
    mine = launch.running.get(found.signature) if launch is not None else None
    if mine is not None:
        of_all = "" if mine["num_epochs"] is None else f" of {mine['num_epochs']}"
        return f"running now, epoch {mine['epoch']}{of_all}"
    record = found.record
    if record is None:
        kept = sorted((found.folder / "checkpoints" / found.signature).glob("epoch-*"))
        if kept:
            return f"interrupted after epoch {int(kept[-1].name.split('-')[1])}; the next launch goes on from there"
        return "not started"
    if record["status"] == "done":
        took = "" if record["wall_seconds"] is None else f" in {duration(record['wall_seconds'])}"
        left_out = "" if found.cell else "; its cell is no longer in the plan, so the report leaves it out"
        copied = json.loads(record["provenance"] or "{}").get("copied_from")
        source = f", copied from study {copied}" if copied else ""
        end = f"{source}{left_out}{_by_other_code(found)}"
        return f"done at attempt {record['attempt']}{took} on {record['device']}{end}"
    again = "" if record["status"] == "pruned" else "; the next launch tries it again"
    return f"{record['status']} at attempt {record['attempt']}: {record['reason']}{again}"


def _by_other_code(found: Found) -> str:
    """What is said of a trial that was finished by other code than it should; nothing of any other."""
    assert found.record is not None
    if not found.study.of_other_code([found.record]):
        return ""
    made = found.record["code"] or "code that was not recorded"
    become = "it counts all the same" if found.study.reuses_changed_code else "the next launch runs it again"
    return (
        f"; made by other code ({made}; the latest launch has {found.study.codes[found.signature]}): {become}"
    )


def _origin(found: Found) -> Iterator[str]:
    start = found.cell.starts_from if found.cell is not None else None
    if not start:
        return
    epoch = f"epoch {start['epoch']}" if start["epoch"] else "the last epoch"
    file = next((start[key] for key in START_FILES if start.get(key)), None)
    source = file or f"{start['cell']} seed {found.seed}, after {epoch}"
    yield f"starts from {source}"
    if start["control"]:
        yield f"compared with {start['control']}, which spends the same compute from scratch"


def _against_baseline(found: Found) -> Iterator[str]:
    """Its settings where they are not the baseline's, from the records of both; else its place on the axes."""
    baseline, name = found.study.default, "untuned default" if found.study.is_search else "baseline"
    if found.cell is None or baseline is None or found.cell == baseline:
        return
    known = [one for one in _trials(found.folder) if one.cell == baseline and one.record is not None]
    if found.record is None or not known:
        place = ", ".join(f"{axis} {value}" for axis, value in found.cell.axis_values.items())
        yield f"settings: {place}"
        return
    yield f"settings that differ from the {name}'s:"
    yield from (f"  {line}" for line in _differences(found.config, known[0].config, ("here", name)))


def _curve(found: Found) -> Iterator[str]:
    """A line per epoch with the means of what was reported, the longest bar being the highest of the first one."""
    by_epoch: dict[int, list[Mapping[str, Any]]] = {}
    for row in (rows := _rows(found, "curves")):
        by_epoch.setdefault(row["epoch"], []).append(row)
    means = {epoch: _means(own, found.study.curve_columns) for epoch, own in by_epoch.items()}
    first = [abs(next(iter(mean.values()))) for mean in means.values() if mean]
    if not first:
        return
    yield f"curve, means of {len(rows)} rows:"
    for epoch, mean in means.items():
        bar = "#" * round(BAR * abs(next(iter(mean.values()), 0.0)) / (max(first) or 1.0))
        values = ", ".join(f"{name.removeprefix('loss_')} {value:.5g}" for name, value in mean.items())
        yield f"  epoch {epoch:3}  {bar:{BAR}}  {values}"


def _means(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Column -> mean of its finite numbers, in this order; without names those of floats: places are none."""
    names = names or sorted(rows[0], key=lambda name: name == "learning_rate")
    numbers = {name: [row[name] for row in rows if isinstance(row.get(name), float)] for name in names}
    finite = {name: [value for value in values if math.isfinite(value)] for name, values in numbers.items()}
    return {name: sum(values) / len(values) for name, values in finite.items() if values}


def _rows(found: Found, table: str) -> list[Mapping[str, Any]]:
    """A done trial's rows of a table, reading its own part alone."""
    if found.record is None or found.record["status"] != "done":
        return []
    read = Ledger(found.folder / "ledger").read_done(found.signature, found.record["attempt"])
    return [] if read is None else list(read[1][table])


# Two trials


def _first_other_number(one: Found, other: Found) -> str:
    for table, places in (
        ("curves", ("epoch", "batch")),
        ("evaluations", ("image_id", *(place["name"] for place in one.study.coordinates or ()))),
    ):
        left, right = _rows(one, table), _rows(other, table)
        if bool(left) != bool(right):
            return f"first difference: {'B' if left else 'A'} left no {table}"
        for number, (a, b) in enumerate(zip(left, right, strict=False)):
            names = [name for name in a if name not in ("signature", "attempt") and a[name] != b.get(name)]
            if names:
                place = ", ".join(f"{name} {a.get(name)}" for name in places)
                values = "; ".join(f"{name} A {a[name]}, B {b.get(name)}" for name in names[:3])
                return f"first difference: row {number} of {table} ({place}): {values}"
        if len(left) != len(right):
            return f"first difference: A has {len(left)} rows of {table}, B {len(right)}; the shared ones are equal"
    if not any(_rows(found, table) for found in (one, other) for table in ("curves", "evaluations")):
        return "Neither has curves or evaluations to compare."
    return "Every number of curves and evaluations is equal."


def _differences(
    one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str] = ("A", "B")
) -> Iterator[str]:
    for path in dict.fromkeys([*one, *other]):
        left, right = one.get(path, "nothing"), other.get(path, "nothing")
        if left != right:
            yield f"{path}: {names[0]} {left}, {names[1]} {right}"


def _by_path(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted path."""
    return {".".join(map(str, place)): value for place, value in leaves(settings)}
