"""What a search space says: `SpaceConfig` and its parts, and the one exception a bad one raises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from trainables.settings import Settings

AxisValue = str | int | float | bool
"""What names one value of an axis: the setting itself, or the name of a group of settings."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with the input: `file:line  where: message`.

    Line 0 means that it has no line, an empty file that it is on the command line.
    """

    file: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = f"{self.where}: {self.message}" if self.where else self.message
        return f"{place}  {said}" if place else said


class ConfigError(Exception):
    """The user's input is wrong; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(str(self))

    def __str__(self) -> str:
        count = len(self.problems)
        total = f"{count} problem{'' if count == 1 else 's'}. No trial was started."
        return "\n".join([*map(str, self.problems), total])


def _as_tuple(value: object) -> object:
    """YAML knows only lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


def _seed_list(value: object) -> object:
    """A count of seeds means the first ones: 3 is 0, 1, 2."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f"expected at least 1 seed; found {value}")
        return tuple(range(value))
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a count or a list of seeds; found {value!r}")
    return tuple(value)


def _values_form(value: object) -> str:
    return "named" if isinstance(value, dict) else "listed"


Listed = Annotated[tuple[AxisValue, ...], BeforeValidator(_as_tuple), Field(min_length=1), Tag("listed")]
Named = Annotated[dict[str, dict[str, Any]], Field(min_length=1), Tag("named")]


class AxisConfig(Settings):
    """One thing that is varied: a list of values for the setting at `path`, or named groups of settings."""

    path: str | None = None
    """Dotted place in `CellConfig`, such as `editor.kind`; only with listed values."""
    values: Annotated[Listed | Named, Discriminator(_values_form)]
    """Values of the setting at `path`, or name -> partial `CellConfig`, merged over the baseline."""

    @field_validator("values")
    @classmethod
    def _each_value_once(cls, values: object) -> object:
        if isinstance(values, tuple):
            for index, value in enumerate(values):
                if value in values[:index]:
                    raise ValueError(f"expected each value once; found {value!r} twice")
        return values

    @model_validator(mode="after")
    def _path_goes_with_listed_values(self) -> "AxisConfig":
        if isinstance(self.values, tuple) and self.path is None:
            raise ValueError("listed values need a `path`, the setting they are values of")
        if isinstance(self.values, dict) and self.path is not None:
            raise ValueError("`path` goes with listed values; named values hold their own settings")
        return self

    @property
    def names(self) -> tuple[AxisValue, ...]:
        """The values in the order written."""
        return tuple(self.values)

    def override(self, value: AxisValue) -> dict[str, Any]:
        """The partial `CellConfig` that gives a cell this value."""
        if isinstance(self.values, dict):
            return self.values[str(value)]
        return nested(self.path or "", value)


class PrimaryConfig(Settings):
    """The question's answer, fixed before anything runs."""

    metric: str
    """A name of `trainables.metrics.METRICS`, or `loss_direction` or `loss_total` (last epoch's mean)."""
    margin: float = Field(gt=0)
    """The smallest difference that matters, in the metric's own unit."""
    alpha: float = Field(default=0.05, gt=0, lt=1)


class ClaimConfig(Settings):
    """A published or expected statement, judged by the contrast of two values of an axis."""

    text: str
    axis: str
    better: AxisValue
    worse: AxisValue
    source: str = ""
    metric: str | None = None
    """The metric the claim is about; the primary one when left out."""


class ExecutionConfig(Settings):
    """How trials are run, never what they compute: no signature covers this block."""

    cpus_per_trial: int = Field(default=1, ge=1)
    gpus_per_trial: float = Field(default=0, ge=0)
    """Fractions share a device."""
    threads_per_trial: int = Field(default=1, ge=1)
    max_retries: int = Field(default=2, ge=0)
    """How often a trial whose worker was lost starts again, from its last checkpoint."""


class SpaceConfig(Settings):
    """One ablation question, as written in a YAML file."""

    schema_version: Literal[1] = 1
    question: str
    published: dict[str, str] = Field(default_factory=dict)
    """Where the question comes from: free text by name, such as `figure`."""
    baseline: dict[str, Any]
    """Partial `CellConfig`, merged over the domain's defaults."""
    axes: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], AxisConfig] = Field(
        default_factory=dict
    )
    design: Literal["one_factor", "product"] = "one_factor"
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_seed_list), Field(min_length=1)
    ]
    """A count, or the seeds themselves."""
    primary: PrimaryConfig
    claims: Annotated[tuple[ClaimConfig, ...], BeforeValidator(_as_tuple)] = ()
    figures: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_as_tuple)] = ()
    """Each has a `kind`; its other keys are options that `analysis` checks."""
    execution: ExecutionConfig = ExecutionConfig()

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        twice = [seed for index, seed in enumerate(seeds) if seed in seeds[:index]]
        if twice:
            raise ValueError(f"expected each seed once; found {twice[0]} twice")
        return seeds


@dataclass(frozen=True)
class Setting:
    """One setting given on the command line; it wins over everything in the file."""

    option: str
    """What the user wrote it after: `--set training.epochs` or `--domain`."""
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
    """What a domain's relative path starts from."""
    config: SpaceConfig
    settings: tuple[Setting, ...] = ()


def nested(path: str, value: object) -> dict[str, Any]:
    """`a.b` and 1 -> {"a": {"b": 1}}."""
    result: Any = value
    for part in reversed(path.split(".")):
        result = {part: result}
    return dict(result)


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of mappings; later ones win, and anything but a mapping is replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(value, Mapping):
                merged[key] = merge(below, value) if isinstance(below, Mapping) else merge(value)
            else:
                merged[key] = value
    return merged
