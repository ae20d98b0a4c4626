"""`study.json`: what a study's space asks for, as its readers see it."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from orchestrator.ledger.errors import LedgerError

STUDY_FILE = "study.json"
LOGS = "logs"
"""Folder of a study with the log of every trial."""
LOG_BYTES = 200_000
"""Bytes at the end of a log that are looked at, however long it is."""
CACHE_FOLDER = "cache"
"""Beside the studies of a results folder: what preparation leaves, which all of them share."""
SUBMISSIONS = "submissions"
"""The folder of a study that holds what was handed to schedulers."""
_OWN_FOLDERS = {"ledger", "checkpoints", LOGS, SUBMISSIONS, "report"}
SCHEMA_VERSION = 1

State = Literal["done", "pruned", "failed", "skipped", "interrupted", "running", "waiting"]


def _holding(*keys: str) -> AfterValidator:
    """What readers take from a mapping without asking."""

    def check(content: Mapping[str, Any]) -> Mapping[str, Any]:
        if missing := [key for key in keys if key not in content]:
            raise ValueError(f"expected {', '.join(keys)} in it; {' and '.join(missing)} missing")
        return content

    return AfterValidator(check)


@dataclass(frozen=True)
class StudyTrial:
    """One seed of a cell."""

    seed: int
    signature: str


@dataclass(frozen=True)
class StudyCell:
    """One cell of a study."""

    cell: str
    axis_values: Mapping[str, Any]
    is_baseline: bool
    trials: tuple[StudyTrial, ...]
    merged: tuple[Mapping[str, Any], ...] = ()
    """Axis values of the other points with the same configuration."""
    num_parameters: int | None = None
    code: str | None = None
    """Fingerprint of the source code that its trials should have been made by; None before it was recorded."""
    role: str = "design"
    """`design`; `parent`, where it is here only for others to start from; `control`, where it is what a warm start
    is compared with and has no axis of its own."""
    starts_from: Annotated[Mapping[str, Any], _holding("cell", "epoch", "control")] | None = None
    """`cell` and `epoch`, or `file` and `digest`, of a warm start; and its `control`."""
    identity: str = ""
    """16 hex digits of all that decides its numbers but the seed; empty in older studies."""


@dataclass(frozen=True)
class PlannedLooks:
    """What a launch had planned to judge, and when: recorded before it trained."""

    since: str
    """UTC."""
    seeds: tuple[int, ...]
    """All that a cell can have."""
    schedule: tuple[int, ...]
    """After how many of `seeds` the results are looked at; all of them where their number is fixed."""
    cells: tuple[str, ...]
    """Identities of all cells."""
    comparisons: tuple[str, ...]
    """Keys of the comparisons on the primary metric."""
    claims: tuple[str, ...] = ()
    """Keys of the comparisons that claims make on other metrics."""


@dataclass(frozen=True)
class StudyPlan:
    """A study's own description: the question, its axes and cells, and which trials answer it."""

    schema_version: int
    name: str
    question: str
    axes: Mapping[str, tuple[Any, ...]]
    """Axis -> its values, in the order of the space."""
    primary: Annotated[Mapping[str, Any], _holding("metric", "margin", "alpha")]
    """`metric`, `margin`, `alpha`."""
    plan_hash: str
    space_file_text: str
    cells: tuple[StudyCell, ...]
    claims: tuple[Mapping[str, Any], ...] = ()
    figures: tuple[Mapping[str, Any], ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)
    design: str = "one_factor"
    seeds: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the command line set over the space's file."""
    plan_hashes: tuple[Mapping[str, str], ...] = ()
    """`hash` and `since` (UTC) of every plan that the study has had, the present one last."""
    design_settings: Mapping[str, Any] = field(default_factory=dict)
    adaptive: Mapping[str, Any] | None = None
    """Where seeds are added while they are needed: `max`, and the `schedule` of looks in seeds."""
    excluded: tuple[Mapping[str, Any], ...] = ()
    """Points that constraints leave out: `axis_values` and `because`."""
    compare: str | None = None
    """The axis along which cells are compared, all else equal; None where every cell is with the baseline."""
    family: str = "h_space"
    """What was trained."""
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Metric -> its label, unit, direction and meaning; empty in studies that were written before they had it."""
    curve_columns: tuple[str, ...] = ()
    """Columns of the curves, where the family says which."""
    curve_labels: Mapping[str, str] = field(default_factory=dict)
    """Columns of the curves whose label is another than their name."""
    coordinates: tuple[Annotated[Mapping[str, Any], _holding("name", "label")], ...] | None = None
    """Columns of evaluations and samples that say where in a trial a row is from; None in studies that were written
    before they said it, as those around it are empty there."""
    sample_kinds: tuple[Annotated[Mapping[str, Any], _holding("name", "plural")], ...] = ()
    model_name: str = "model"
    """What a trial leaves, in a word."""
    fairness: Mapping[str, str] = field(default_factory=dict)
    """Metric -> its heading among the costs of a cell."""
    published_settings: Mapping[str, Mapping[str, Any]] | None = None
    """Dotted path of a setting -> its published `value`, its name in `words`, and beside which values of others
    (`unless`) it has no effect; None in studies that were written before they had it."""
    sentences: tuple[str, ...] = ()
    """How trials were made, with `{dotted.path}` where a setting's values stand."""
    plans: tuple[PlannedLooks, ...] = ()
    """Every plan that the study was launched with while it had results, the present one last; empty in older ones."""
    confounding: tuple[str, ...] = ("evaluation.t_boost",)
    """Dotted settings that move every result: cells that differ in one are compared where nothing else differs.
    Studies from before they said which were of one family."""
    reuses_changed_code: bool = False
    """Whether trials that other code has made count, as the launch was told to."""
    plugins: tuple[str, ...] = ()
    """Files that the space names as its plugins, as written."""

    @property
    def is_search(self) -> bool:
        """Whether trials were proposed one by one, to pick the best: such a study compares nothing."""
        return self.design == "optuna"

    @property
    def codes(self) -> Mapping[str, str]:
        """Signature -> fingerprint of the source code that the trial should have been made by, where it is known."""
        return {trial.signature: cell.code for cell in self.cells if cell.code for trial in cell.trials}

    def of_other_code(self, records: Iterable[Mapping[str, Any]]) -> set[str]:
        """Signatures of the trials that were finished by other code than they should, or by code that is unknown."""
        codes = self.codes
        return {
            record["signature"]
            for record in records
            if record["status"] == "done"
            and record.get("code") != codes.get(record["signature"], record.get("code"))
        }

    @property
    def default(self) -> StudyCell | None:
        """The baseline; of a search, which has none, the untuned default that it began with."""
        begins = (cell for cell in self.cells if cell.cell == "baseline")
        return next(begins, None) if self.is_search else self.baseline

    @property
    def baseline(self) -> StudyCell | None:
        """The cell that every contrast is taken against, but for those along `compare`."""
        return next((cell for cell in self.cells if cell.is_baseline), None)


def may_hold_study(folder: Path) -> bool:
    """Whether a folder holds a study, or what is left of one."""
    try:
        return (folder / STUDY_FILE).exists() or (folder / "ledger").is_dir()
    except PermissionError:
        return True  # Reading it says so.


def read_study(folder: Path | str) -> StudyPlan:
    """The study in a results folder. Raises LedgerError when there is none that can be read."""
    path = Path(folder, STUDY_FILE)
    try:
        return parse_study(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise LedgerError(f"{folder} holds no study: there is no {STUDY_FILE} in it") from error
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error


def parse_study(text: str | bytes, path: Path) -> StudyPlan:
    """The study in the text of its file. Raises LedgerError, naming `path`, where it is none that can be read."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LedgerError(
            f"{path} is not JSON ({error}): it was cut off or overwritten; move it away, and the next launch of the "
            "space writes it anew. The trials in its ledger are kept"
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer asyrp-sweep (study schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade asyrp-sweep to read this study"
        )
    try:
        return _READ.validate_json(text, strict=True)
    except ValidationError as error:
        # Words are needed for this message alone: whoever only reads a ledger imports nothing else of ours.
        from trainables.wording import validation_problems
        from trainables.yaml_tree import dotted

        # Keys that this release does not know are no mistake, so no model has to name those that it knows.
        (place, message), *more = validation_problems(error, BaseModel, content)
        others = f" (and {len(more)} more)" if more else ""
        raise LedgerError(
            f"{path} is not a study of asyrp-sweep: {dotted(place) or 'its content'}: {message}{others}; move it away, "
            "or choose another folder with --results; the trials in its ledger are kept"
        ) from error


def log_file(signature: str) -> str:
    """The log of a trial, within its study's folder."""
    return f"{LOGS}/{signature}.log"


def end_of_log(folder: Path, signature: str, num_lines: int) -> str:
    """The last lines of a trial's log; nothing where there is none, or a link that leads out of the study's folder.

    Raises OSError when it cannot be read.
    """
    path = folder / log_file(signature)
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-num_lines:])


def claim_study(folder: Path, name: str, further: Collection[str] = ()) -> StudyPlan | None:
    """What is already in the folder meant for the space `name`: its study, or None where it is new.

    `further` are folders of a study beside those that the ledger knows. Creates nothing. Raises LedgerError when the
    folder holds something else.
    """
    if (folder / STUDY_FILE).is_file():
        study = read_study(folder)
        if study.name != name:
            raise LedgerError(
                f"{folder} belongs to the space {study.name!r}, not to {name!r}; choose another --results"
            )
        return study
    if folder.exists() and (not folder.is_dir() or _strangers(folder, further)):
        raise LedgerError(
            f"{folder} exists but holds no study (no {STUDY_FILE}); choose another --results, or move it away"
        )
    return None


def _strangers(folder: Path, further: Collection[str]) -> set[str]:
    """What is in a folder that no launch leaves there, not even one killed before it wrote `study.json`."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {
        *_OWN_FOLDERS,
        *further,
    }


def status_matrix(
    study: StudyPlan, records: Iterable[Mapping[str, Any]], running: Collection[str] = ()
) -> dict[str, dict[int, State]]:
    """State of every trial of the study: cell -> seed -> state.

    `records` are those of the ledger, `running` the signatures that a launch is working on now. Trials of other code
    wait, unless they are reused.
    """
    records = list(records)
    left_out = set() if study.reuses_changed_code else study.of_other_code(records)
    ended = {one["signature"]: one["status"] for one in records if one["signature"] not in left_out}
    return {
        cell.cell: {trial.seed: _state(trial.signature, ended, running) for trial in cell.trials}
        for cell in study.cells
    }


def _state(signature: str, ended: Mapping[str, State], running: Collection[str]) -> State:
    if signature in running:
        return "running"
    return ended.get(signature, "waiting")


_READ = TypeAdapter(StudyPlan)
