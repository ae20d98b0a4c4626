"""What a family and the orchestrator hand each other: metrics, layers of settings, findings, starts, costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from trainables.errors import UserError
from trainables.yaml_tree import Loc

Role = Literal["design", "parent", "control", "placebo"]
"""Why a cell is in the plan: the space asks for it, another one starts from it, or it is what one is compared with."""


@dataclass(frozen=True)
class Metric:
    """What a reader needs to know of a number that trials are judged by."""

    name: str
    label: str
    unit: str = ""
    higher_is_better: bool = True
    description: str = ""
    is_of_sets: bool = False
    """Whether it is a number of all items together, with no value for one."""
    reference: tuple[str, ...] = ()
    """Dotted settings that move what it is measured against: cells that differ in one cannot be compared by it."""
    caution: str = ""
    """What a reader of verdicts by it should know, to follow its label, such as `is the loss that was trained on`."""


@dataclass(frozen=True)
class Coordinate:
    """Where in a trial, beside its epoch, something was measured or made: a column of its evaluations and samples."""

    name: str
    label: str
    unit: str = ""
    meaning: str = ""
    """A sentence or two, for readers of results."""
    is_text: bool = False
    """Whether its values are texts: they tell rows apart, and no figure runs over them."""
    neutral: float | None = None
    """The value at which a trial leaves its items as they are: sweeps start there."""
    neutral_label: str = ""
    """What is there, in a word."""
    size: str = ""
    """The metric that tells how much has changed along it."""
    ends: tuple[str, str] | None = None
    """What lies below and above the neutral value, with `{dotted.path}` where a setting's value stands."""
    setting: str | None = None
    """The setting with the value that a trial is judged at; of a list, the first one."""


@dataclass(frozen=True)
class SampleKind:
    """What one kind of samples is to a reader."""

    name: str
    plural: str
    label: str = ""
    short: str = ""
    """Above a sample, where there is little room."""
    is_reference: bool = False
    """Whether it is shown beside what trials made, and not as that."""
    only_shared: bool = False
    """Whether it is shown only where there is one of it for each item."""
    note: str = ""
    """What to say where it is shown."""


@dataclass(frozen=True)
class PublishedSetting:
    """What was published of a setting."""

    value: Any
    words: str
    """What the setting is called in a sentence."""
    unless: tuple[tuple[str, Any], ...] = ()
    """Other settings and values beside which it has no effect, so that it departs from nothing."""


class Layer(NamedTuple):
    """Partial settings of a cell, and where they were written."""

    settings: Mapping[str, Any]
    origin: Loc | str
    """A place in the space's file, or the name of what is not in it."""
    is_one_value: bool = False
    """The place holds a single value, so a problem anywhere in the settings is a problem there."""
    file: tuple[Any, Loc] | None = None
    """Another file that says them (it has `problem(place, message)`), and where in it."""


@dataclass(frozen=True)
class InSpace:
    """A place in the space's file, where a finding is not about a setting of a cell."""

    place: Loc


@dataclass(frozen=True)
class Outside:
    """A place that is not in the space's file."""

    file: str
    """Another file, or nothing for the command line."""
    where: str
    line: int = 0


Finding = tuple[Loc | InSpace | Outside, str]
"""Where, and what is wrong there. A bare place is one in a cell's settings."""


@dataclass(frozen=True)
class Asked:
    """What a space asks about its cells' results, for a family to check."""

    metrics: Sequence[tuple[Loc, str]] = ()
    """Where the space's file names a metric, and its name."""
    figures: Sequence[Mapping[str, Any]] = ()
    primary: str = ""
    """The metric that verdicts are about, whose margin has its unit."""
    has_gpu: bool = False
    """Whether trials are to run on one."""


@dataclass(frozen=True)
class Start:
    """What a cell's weights start from: another cell of the plan, the same cell with other settings, or a file."""

    place: Loc
    """Where in the cell's configuration it is said."""
    cell: str | Mapping[str, Any] | None = None
    """The other cell's name, or the axis values in which it differs."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted settings in which the same cell differs."""
    file: str | None = None
    epoch: int | None = None
    """After which epoch of the other cell's training; None for its last."""
    control: bool = True
    """Whether the plan adds the cell that trains from scratch for as long as both together."""


class Work(NamedTuple):
    """How much a trial does, in a family's own units: what its price is computed from."""

    train: float
    other: float


class Rates(NamedTuple):
    """What a round of a pilot tells of a trial: seconds per unit of work."""

    train: float
    other: float
    preparation: Mapping[str, float] | None = None
    """Preparation by the names of `Family.preparation_work`; None where it was not timed."""


class Timing(NamedTuple):
    """What a pilot tells of a trial."""

    rounds: Sequence[Rates]
    """How far they lie apart tells how steady the machine is."""
    num_bytes: int = 0
    """What a trial leaves on disk."""
    load_seconds: float = 0.0
    """What reading models took."""


class Beyond(Protocol):
    """The settings of a search's winner, against what a space would give without them."""

    def __call__(self, baseline: Mapping[str, Any]) -> dict[str, Any]:
        """What a space with this baseline alone would not give."""

    def searched(self, settings: Mapping[str, Any], block: str) -> dict[str, Any]:
        """Of a block's settings those that the search varied."""


class Winner(NamedTuple):
    """How the settings of a search's winner are written for later use."""

    content: Mapping[str, Any]
    advice: str
    """What to do with the file."""


class ImpossibleStart(UserError):
    """A start that cannot be: the place in the configuration and what is wrong there."""

    def __init__(self, place: Loc, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message
