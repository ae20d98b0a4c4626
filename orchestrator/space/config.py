"""What a search space says: `SpaceConfig` and its parts, and the one exception a bad one raises."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from orchestrator.space.axes import AxisConfig, AxisValue, Condition, as_tuple
from orchestrator.space.designs import DESIGNS
from orchestrator.space.execution import ExecutionConfig
from trainables.errors import Problem as Problem
from trainables.errors import UserError
from trainables.family import Family
from trainables.settings import Settings
from trainables.wording import expected

if TYPE_CHECKING:
    from orchestrator.space.designs import Design as DesignConfig
else:  # The union is built by discovery at import, which no static checker can see.
    from orchestrator.space.designs import DesignConfig


class ConfigError(UserError):
    """The user's input is wrong; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        count = len(self.problems)
        total = f"{count} problem{'' if count == 1 else 's'}. No trial was started."
        return "\n".join([*map(str, self.problems), total])


def wrong_input(where: str, message: str, file: str = "") -> ConfigError:
    """The error of one thing that is wrong, in a file or, without one, on the command line."""
    return ConfigError([Problem(file, 0, where, message)])


MAX_SEEDS = 10_000
PLACEBO_SEEDS = 1_000_000
"""Added to a seed for the placebo's trial that is paired with it."""


def _seed_list(value: object) -> object:
    """A count of seeds means the first ones: 3 is 0, 1, 2."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"expected at least 1 seed; found {value}")
        if value > MAX_SEEDS:
            raise ValueError(f"expected at most {MAX_SEEDS:,} seeds; found {value:,}")
        return tuple(range(value))
    if not isinstance(value, list | tuple):
        raise ValueError(expected("a count or a list of seeds", value))
    return tuple(value)


def _seeds_form(value: object) -> str:
    return "adaptive" if isinstance(value, dict | AdaptiveSeeds) else "listed"


class AdaptiveSeeds(Settings):
    """Seeds added while they are needed: all cells start alike, undecided contrasts go on."""

    start: int = Field(ge=2)
    """Seeds of every cell before the first look."""
    max: int = Field(ge=3, le=MAX_SEEDS)
    """Seeds of a cell whose contrast is never decided."""
    until: Literal["decided"]
    """Seeds are added to comparisons that are still undecided."""
    looks: int = Field(default=5, ge=2, le=1000)
    """How often the results are looked at, at most; the error rate is shared among the looks."""

    @model_validator(mode="after")
    def _start_below_max(self) -> "AdaptiveSeeds":
        if self.start >= self.max:
            raise ValueError(f"expected start below max; found start {self.start} and max {self.max}")
        return self

    @property
    def schedule(self) -> tuple[int, ...]:
        """Numbers of seeds at which the results are looked at, evenly from `start` to `max`."""
        share = (self.max - self.start) / (self.looks - 1)
        return tuple(dict.fromkeys(self.start + round(look * share) for look in range(self.looks)))


Seeds = Annotated[
    Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        BeforeValidator(_seed_list),
        Field(min_length=1),
        Tag("listed"),
    ]
    | Annotated[AdaptiveSeeds, Tag("adaptive")],
    Discriminator(_seeds_form),
]


def _in_own_unit(given: object) -> object:
    """A margin as it is given. Raises ValueError for a number with a unit."""
    if isinstance(given, str) and not given.replace(".", "").isdecimal():
        wanted = "a number in the metric's own unit (asyrp-sweep list metrics), such as 0.05"
        raise ValueError(expected(wanted, given))
    return given


class PrimaryConfig(Settings):
    """The question's answer, fixed before anything runs."""

    metric: str
    """A metric of the family, or a loss of its curves (the mean over the last epoch)."""
    margin: Annotated[float, Field(gt=0), BeforeValidator(_in_own_unit)]
    """The smallest difference that matters, in the metric's own unit."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Highest probability of a wrong verdict, over all verdicts of the study together."""
    instead: "PrimaryConfig | None" = None
    """What to judge by on a domain that cannot tell `metric`, such as photographs, which have no true edit."""


class PublishedNumbers(Settings):
    """What was published of a claim, shown beside the numbers of this study and never mixed with them."""

    better: float
    """The number of the side that was better."""
    worse: float
    """The number of the other side."""
    metric: str = ""
    """What they are numbers of, in words."""


class ClaimConfig(Settings):
    """A published or expected statement, judged by the contrast of two values of an axis, or of two cells.

    A further key is one of the family's coordinates, with the value that the claim is about; each trial's own when left
    out.
    """

    model_config = ConfigDict(extra="allow")

    text: str
    """The statement in words, as the report shows it."""
    axis: str | None = None
    """The axis whose values `better` and `worse` are; none where they are cells."""
    better: AxisValue | dict[str, AxisValue]
    """A value of `axis`; or a cell, as a mapping of axes to values (the others are the baseline's)."""
    worse: AxisValue | dict[str, AxisValue]
    """The other side, as `better`."""
    source: str = ""
    """Where the statement is from."""
    metric: str | None = None
    """The metric the claim is about; the primary one when left out."""
    published: PublishedNumbers | None = None
    """The published numbers, shown beside those of this study."""

    @model_validator(mode="after")
    def _sides_say_where_they_are(self) -> "ClaimConfig":
        if self.axis is None and not (isinstance(self.better, dict) and isinstance(self.worse, dict)):
            raise ValueError("expected an `axis`, or `better` and `worse` as mappings of axes to values")
        return self

    @property
    def at(self) -> Mapping[str, Any]:
        """Coordinate -> the value that the claim is about, as written."""
        return self.model_extra or {}

    def side(self, role: Literal["better", "worse"]) -> dict[str, AxisValue]:
        """The axis values that one side names."""
        value: AxisValue | dict[str, AxisValue] = getattr(self, role)
        return value if isinstance(value, dict) else {str(self.axis): value}


class ConstraintConfig(Settings):
    """Points that are left out, and why."""

    excluded: Condition = Field(alias="not", min_length=1)
    """Axis -> value or values; a point that matches all of them is excluded."""
    because: str = Field(min_length=1)
    """Shown beside every excluded cell."""


class SpaceConfig(Settings):
    """One ablation question, as written in a YAML file."""

    schema_version: Literal[1] = 1
    """Version of this file's form; there is only one."""
    extends: str | None = None
    """Another space, by its shipped name or its path from this file: what this one does not say is as there."""
    question: str
    """The question that the study answers, in words: the heading of its report."""
    published: dict[str, str] = Field(default_factory=dict)
    """Where the question comes from: free text by name, such as `figure`."""
    family: str = "h_space"
    """What is trained: a family of the package or of an installed one, or the path of a Python file that has one."""
    plugins: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Python files that add variants of what the package has, such as a metric or a figure (docs/plugins.md)."""
    baseline: dict[str, Any]
    """What all cells share: partial settings of a cell, merged over the family's defaults."""
    axes: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,59}$")], AxisConfig] = Field(
        default_factory=dict
    )
    """What is varied, by name."""
    constraints: Annotated[tuple[ConstraintConfig, ...], BeforeValidator(as_tuple)] = ()
    """Points that are left out, each with the reason."""
    design: DesignConfig = Field(default_factory=lambda: DESIGNS["one_factor"](kind="one_factor"))
    """A kind, or a mapping of its `kind` and settings (`orchestrator.space.designs`)."""
    seeds: Seeds
    """A count, the seeds themselves, or `{start, max, until: decided}`."""
    primary: PrimaryConfig
    """What the question is judged by, fixed before anything runs."""
    compare: str | None = None
    """An axis. Each cell is then compared with the one that has the baseline's value of this axis and is like it in all
    others; left out, every cell is compared with the baseline."""
    placebo: bool = False
    """Train the baseline once more under other seeds. What it then differs by is the noise floor of the study."""
    claims: Annotated[tuple[ClaimConfig, ...], BeforeValidator(as_tuple)] = ()
    """Published or expected statements that the results support or contradict."""
    figures: Annotated[tuple[dict[str, Any], ...], BeforeValidator(as_tuple)] = ()
    """Each has a `kind`; its other keys are options that `analysis` checks."""
    execution: ExecutionConfig = ExecutionConfig()
    """How trials are run, never what they compute."""

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: tuple[int, ...] | AdaptiveSeeds) -> tuple[int, ...] | AdaptiveSeeds:
        listed = () if isinstance(seeds, AdaptiveSeeds) else seeds
        twice = next((seed for seed, count in Counter(listed).items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"expected each seed once; found {twice} twice")
        return seeds

    @model_validator(mode="after")
    def _placebo_has_seeds_of_its_own(self) -> "SpaceConfig":
        largest = max(self.first_seeds)
        if self.placebo and largest >= PLACEBO_SEEDS:
            raise ValueError(
                f"expected seeds below {PLACEBO_SEEDS:,} beside `placebo`, which uses those from there on; found "
                f"{largest:,}"
            )
        return self

    @property
    def adaptive(self) -> AdaptiveSeeds | None:
        """The rule by which seeds are added, where there is one."""
        return self.seeds if isinstance(self.seeds, AdaptiveSeeds) else None

    @property
    def max_seeds(self) -> int:
        """How many seeds a cell has at most."""
        return self.seeds.max if isinstance(self.seeds, AdaptiveSeeds) else len(self.seeds)

    @property
    def first_seeds(self) -> tuple[int, ...]:
        """The seeds that every cell has."""
        return tuple(range(self.seeds.start)) if isinstance(self.seeds, AdaptiveSeeds) else self.seeds


@dataclass(frozen=True)
class Setting:
    """One setting given on the command line; it wins over everything in the file."""

    option: str
    """What the user wrote it after: `--set training.epochs`."""
    path: str
    value: Any


@dataclass(frozen=True)
class Space:
    """A search space as loaded: the file, and what the command line adds to it."""

    name: str
    """The file's name without `.yaml`; also the name of the study's folder."""
    file: str
    text: str
    folder: Path
    """What relative paths start from."""
    config: SpaceConfig
    family: Family = field(compare=False, repr=False)
    settings: tuple[Setting, ...] = ()
    extended: tuple[tuple[str, str], ...] = ()
    """(file, text) of the spaces that this one extends, the nearest first."""
    primary_place: tuple[str | int, ...] = ("primary",)
    """Where the file says what `config.primary` does."""
    primary_because: tuple[str, ...] = ()
    """Why it is not the metric that the file would rather have, nor those that the file says between."""
