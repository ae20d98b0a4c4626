"""How columns, metrics and axis values are called in figures, tables and sentences: once, for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from math import floor, isnan, log10
from typing import Any

CURVE_LABELS = {
    "loss_direction": "Directional CLIP loss, 1 − cos",
    "loss_total": "Total training loss (weighted)",
    "loss_recon": "Reconstruction loss",
    "learning_rate": "Learning rate",
}
"""Columns of `curves` that can be drawn. The directional and the summed loss are never mixed up."""

_AXES = {"num_sample_steps": "sampling steps"}

X_LABELS = {
    "optimizer_step": "Optimizer steps",
    "image_steps": "Images × timesteps seen",
    "epoch": "Epochs",
}


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


_study_metrics: ContextVar[Mapping[str, MetricInfo]] = ContextVar("study_metrics")


_study_curves: ContextVar[tuple[str, ...]] = ContextVar("study_curves", default=())


def use_metrics(
    metrics: Mapping[str, Mapping[str, Any]], family: str, curve_columns: Iterable[str] = ()
) -> None:
    """Let `metric_info` and `known_metrics` answer for a study, from here on in this context.

    `metrics` are those of its `study.json`. Where it was written before they were, its family tells them.
    """
    if not metrics:
        from trainables.families import (
            described,  # Imports torch: only for studies that do not say themselves.
        )

        metrics, curve_columns = described(family)
    _study_metrics.set({name: MetricInfo(name, **content) for name, content in metrics.items()})
    _study_curves.set(tuple(curve_columns))


def metric_info(name: str) -> MetricInfo:
    """A metric of the study. Raises KeyError for a name that is none."""
    return _study_metrics.get()[name]


def known_metrics() -> list[str]:
    """Names of the study's metrics, the losses of the last epoch at the end."""
    return list(_study_metrics.get())


def is_of_sets(metric: str) -> bool:
    """Whether a metric is a number of a whole set of items, as FID is, with no value for one of them."""
    known = _study_metrics.get()
    return metric in known and known[metric].is_of_sets


def known_curves() -> tuple[str, ...]:
    """Columns of the study's curves; none where only its trials will tell."""
    return _study_curves.get()


def curve_label(column: str) -> str:
    """A column of the curves as a reader sees it."""
    return CURVE_LABELS.get(column) or column.replace("_", " ")


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
    return _AXES.get(axis) or axis.replace("_", " ").replace(".", " ")


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
