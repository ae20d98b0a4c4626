"""How columns, metrics and axis values are called in figures, tables and sentences: once, for all of them."""

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields
from math import floor, isnan, log10
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from orchestrator.ledger import StudyPlan
from trainables.exchange import Coordinate, SampleKind
from trainables.wording import look_up

EPOCH = "epoch"
_CURVES = {"learning_rate": "Learning rate"}
_X_LABELS = {"optimizer_step": "Optimizer steps", EPOCH: "Epochs"}


@dataclass(frozen=True)
class MetricInfo:
    """What a reader needs to know of a metric."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    description: str
    is_of_sets: bool = False
    reference: Sequence[str] = ()
    """Dotted settings that move what it is measured against."""
    caution: str = ""
    """What a reader of verdicts by it should know, to follow its label."""

    @property
    def arrow(self) -> str:
        """Up or down: where better is."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def plot_label(self) -> str:
        """Label and arrow for a figure, with the subscript of S_dir set as one."""
        return f"{self.label} {self.arrow}".replace("S_dir", r"$S_{\mathrm{dir}}$")

    @property
    def sign(self) -> int:
        """Factor that makes a difference positive where it is an improvement."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True)
class Words:
    """What a study says of its family: names, and what they mean to a reader."""

    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curve_columns: tuple[str, ...] = ()
    curve_labels: Mapping[str, str] = field(default_factory=dict)
    coordinates: tuple[Coordinate, ...] | None = None
    """None where the study was written before it said them."""
    sample_kinds: tuple[SampleKind, ...] = ()
    model_name: str = "model"
    fairness: Mapping[str, str] = field(default_factory=dict)


_WORDS = TypeAdapter(Words)
_words: ContextVar[Words | None] = ContextVar("words", default=None)
_metrics: ContextVar[Mapping[str, MetricInfo]] = ContextVar("metrics")


def use_study(study: StudyPlan) -> None:
    """Let this module answer for a study, from here on in this context."""
    use_words({one.name: getattr(study, one.name) for one in fields(Words)}, study.family)


def use_words(said: Mapping[str, Any], family: str) -> None:
    """Let this module answer for what `Words` of a study are given; those that are missing are asked of its family."""
    if not said.get("metrics") or said.get("coordinates") is None:
        from trainables.families import described_by_name

        # The units of metrics may be the study's own. Imports torch: only for studies that do not say themselves.
        said = {
            **said,
            **described_by_name(family),
            **({"metrics": said["metrics"]} if said.get("metrics") else {}),
        }
    words = _WORDS.validate_python({one.name: said[one.name] for one in fields(Words) if one.name in said})
    _words.set(words)
    _metrics.set({name: MetricInfo(name, **content) for name, content in words.metrics.items()})


def _now() -> Words:
    return _words.get() or Words()


def words_in_use() -> dict[str, Any]:
    """What `use_words` was given last, JSON-able."""
    return asdict(_now())


def metric_info(name: str) -> MetricInfo:
    """A metric of the study. Raises KeyError for a name that is none."""
    return _metrics.get()[name]


def known_metrics() -> list[str]:
    """Names of the study's metrics, the losses of the last epoch at the end."""
    return list(_metrics.get())


def is_of_sets(metric: str) -> bool:
    """Whether a metric is a number of a whole set of items, as FID is, with no value for one of them."""
    known = _metrics.get()
    return metric in known and known[metric].is_of_sets


def known_curves() -> tuple[str, ...]:
    """Columns of the study's curves, the usual one first; none where only its trials will tell."""
    return _now().curve_columns


def curve_label(column: str) -> str:
    """A column of the curves as a reader sees it."""
    return (_CURVES | dict(_now().curve_labels)).get(column) or column.replace("_", " ")


def x_labels() -> dict[str, str]:
    """What curves can be drawn along -> its label."""
    words = _now()
    further = {name: label for name, label in words.curve_labels.items() if name not in words.curve_columns}
    return _X_LABELS | further


def coordinates() -> tuple[Coordinate, ...]:
    """Columns of evaluations and samples that say where in a trial a row is from, beside the epoch."""
    return _now().coordinates or ()


def places() -> tuple[str, ...]:
    """Where in a trial something can be measured: the epoch, and coordinates that are numbers."""
    return (EPOCH, *(one.name for one in coordinates() if not one.is_text))


class Sweep(NamedTuple):
    """A coordinate along which trials were measured from where they change nothing."""

    name: str
    start: float
    said: Coordinate


def swept() -> Sweep | None:
    """The coordinate of the family that has a neutral value, if one has."""
    found = ((one.name, one.neutral, one) for one in coordinates())
    return next((Sweep(name, start, one) for name, start, one in found if start is not None), None)


def sample_kinds() -> tuple[SampleKind, ...]:
    """Kinds of samples whose meaning the family tells."""
    return _now().sample_kinds


def references() -> dict[str, SampleKind]:
    """Kinds of samples that are shown beside what trials made."""
    return {kind.name: kind for kind in sample_kinds() if kind.is_reference}


def shown_with_costs() -> Mapping[str, str]:
    """Metric -> its heading, of those that are shown among the costs of a cell."""
    return _now().fairness


def model_name() -> str:
    """What a trial leaves, in a word."""
    return _now().model_name


def value_label(value: Any) -> str:
    """An axis value as a reader sees it: names as they are written, 1e-5 as "1e-05", true as "on"."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (int, float)):
        return f"{value:g}".replace("-", "−") if "e" not in f"{value:g}" else f"{value:g}"
    return str(value)


def axis_label(axis: str) -> str:
    """An axis name as a reader sees it."""
    own = next((one for one in coordinates() if one.name == axis), None)
    if own is None:
        return axis.replace("_", " ").replace(".", " ")
    return f"{own.label} ({own.unit})" if own.unit else own.label


def place_label(at: Mapping[str, float]) -> str:
    """`temperature 0.5`: coordinates as a sentence names them."""
    return ", ".join(f"{axis_label(name)} {value:g}" for name, value in at.items())


PLACE = re.compile(r"\{([\w.]+)\}")
"""Where a text of the family has a setting's value."""


def filled(text: str, config: Mapping[str, Any]) -> str:
    """A text of the family with the settings of a trial in place of `{dotted.path}`."""
    return PLACE.sub(lambda place: value_label(look_up(config, tuple(place[1].split(".")))), text)


def plural(count: int, word: str) -> str:
    """`3 seeds`, `1 seed`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


ROUNDING = 1e-12
"""What sums of doubles leave where they should cancel: shown as 0."""


def number(value: float, *, signed: bool = False, decimals: int | None = None) -> str:
    """A number with `decimals`, or with three significant digits; a dash where there is none."""
    if isnan(value):
        return "–"
    size = abs(value) if abs(value) > ROUNDING else 0.0
    if decimals is not None:
        text = f"{size:.{decimals}f}"
    elif 1e-3 <= size < 1e3:
        text = f"{size:#.3g}".rstrip(".")
    else:
        text = f"{size:.3g}"
    is_zero = float(text) == 0
    sign = "" if is_zero else "−" if value < 0 else "+" if signed else ""
    return sign + text


def decimals_for(spread: float) -> int | None:
    """Decimals that show two digits of a half width or standard error; None where there is none."""
    if isnan(spread) or spread <= 0:
        return None
    return min(6, max(0, 1 - floor(log10(spread))))


def with_interval(mean: float, low: float, high: float) -> str:
    """`+0.123 [+0.101, +0.145]`: as many decimals as the interval's width deserves."""
    if isnan(low):
        return number(mean, signed=True)
    decimals = decimals_for((high - low) / 2)
    shown = [number(value, signed=True, decimals=decimals) for value in (mean, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def p_value(value: float) -> str:
    """`p = 0.031`, `p < 0.001`."""
    if isnan(value):
        return "p –"
    return "p < 0.001" if value < 1e-3 else f"p = {value:.2g}"
