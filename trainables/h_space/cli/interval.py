"""`interval`: the perceptual-distance curves of a domain, and what `auto` makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.views.live import say as say_on
from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.config import TrainingConfig
from trainables.h_space.domains import DomainError, DomainSummary, domain_summary
from trainables.h_space.editing_interval import (
    NUM_IMAGES,
    NUM_STEPS,
    Curves,
    Interval,
    IntervalError,
    distance_text,
    interval_of,
    missing_tasks,
    read_cosine,
    read_curves,
    run_interval,
)
from trainables.h_space.schedule import as_noisy
from trainables.h_space.timesteps import PUBLISHED_T_MAX, timestep_sequence
from trainables.wording import did_you_mean, expected

Say = Callable[[str], None]


@dataclass(frozen=True)
class IntervalView:
    """What the rule gives in a domain."""

    distance: str
    """What distances are measured by, and whose units the thresholds are."""
    curves: Curves
    intervals: dict[str, Interval]
    """By attribute; without those whose threshold the curve never reaches."""
    unreached: dict[str, str]
    """Attribute -> why it has no t_edit."""
    t_boost: int | None
    """None where x_t is nowhere so far away."""
    t_boost_threshold: float
    num_train_steps: int
    """Timesteps of a training in this domain unless a space says otherwise."""
    t_max: int
    """The noisiest timestep of the domain's diffusion model."""


def measured_curves(
    domain: str, cache_dir: Path, say: Say, num_images: int = NUM_IMAGES, num_steps: int = NUM_STEPS
) -> Curves:
    """The curves of a domain, from the cache as far as they are there.

    Raises DomainError when the domain cannot be read or has fewer training images.
    """
    tasks = missing_tasks(domain, (), cache_dir, num_images, num_steps)
    for number, task in enumerate(tasks, start=1):
        say(f"measuring the distance curves of {domain}: {number} of {len(tasks)}")
        run_interval(task, cache_dir)
    return read_curves(domain, cache_dir, num_images, num_steps)


def view(
    domain: str, attributes: Sequence[str], cache_dir: Path, num_images: int, num_steps: int, say: Say
) -> IntervalView:
    """Measure what the cache lacks and apply the rule to these attributes, or to all that the domain offers.

    Raises DomainError for an attribute that it does not offer, and as `measured_curves` does.
    """
    summary = domain_summary(domain)
    chosen = [_attribute(summary, name) for name in attributes or summary.attributes]
    curves = measured_curves(domain, cache_dir, say, num_images, num_steps)
    for task in missing_tasks(domain, chosen, cache_dir, num_images, num_steps):
        run_interval(task, cache_dir)
    defaults = summary.defaults.get("training", {})
    floor = defaults.get("min_prompt_cosine", TrainingConfig().min_prompt_cosine)
    intervals, unreached = {}, {}
    for attribute in chosen:
        try:
            cosine = read_cosine(domain, attribute, cache_dir)
            intervals[attribute.name] = interval_of(curves, cosine, floor, summary.interval)
        except IntervalError as error:
            unreached[attribute.name] = str(error)
    steps = defaults.get("num_train_steps", TrainingConfig().num_train_steps)
    boost = summary.interval.t_boost
    distance, t_boost = distance_text(domain), _t_boost(curves, boost)
    return IntervalView(distance, curves, intervals, unreached, t_boost, boost, steps, summary.t_max)


def show(found: IntervalView, console: Console) -> None:
    """Print t_edit of every attribute, and t_boost."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("attribute", no_wrap=True)
    for header in ("prompt cosine", "P_t is away", "t_edit", "trained timesteps"):
        table.add_column(header, justify="right", no_wrap=True)
    sequence = timestep_sequence(found.num_train_steps, found.t_max)
    for name, interval in found.intervals.items():
        trained = sum(t >= interval.t_edit for t in sequence)
        numbers = (f"{interval.cosine:.3f}", f"{interval.threshold:.3f}", str(interval.t_edit))
        table.add_row(Text(name), *numbers, f"{trained} of {len(sequence)}")
    console.print(table)
    for name, reason in found.unreached.items():
        say_on(console, f"{name}: {reason}")
    boost = "is nowhere" if found.t_boost is None else f"{found.t_boost}"
    say_on(console, f"t_boost {boost}: where x_t is {found.t_boost_threshold:g} away")
    num_images, num_steps = len(found.curves.predicted), len(found.curves.timesteps)
    say_on(console, f"Mean over {num_images} images, {num_steps} steps; distance by {found.distance}.")


def show_as_noisy(domain: str, published: Sequence[int], console: Console) -> None:
    """Print the timesteps of a domain that are as noisy as some of the published schedule; loads no model.

    Raises DomainError for a timestep that the published schedule does not have.
    """
    summary = domain_summary(domain)
    assert summary.schedule is not None
    for t in published:
        if not 0 <= t <= PUBLISHED_T_MAX:
            raise DomainError(f"--like: {expected(f'timesteps from 0 to {PUBLISHED_T_MAX}', t)}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for header in ("published t", f"t of {summary.name}", "alpha_bar"):
        table.add_column(header, justify="right", no_wrap=True)
    for t in published:
        own, alpha_bar = as_noisy(summary.schedule.betas, t)
        table.add_row(str(t), str(own), f"{alpha_bar:.4f}")
    console.print(table)


FigureInput = tuple[
    tuple[int, ...],
    NDArray[np.float64],
    NDArray[np.float64],
    dict[str, tuple[float, int]],
    tuple[float, int] | None,
    str,
]


def for_figure(found: IntervalView) -> FigureInput:
    """Timesteps, both curves per image, attribute -> (threshold, t_edit), (threshold, t_boost) or None, distance."""
    t_edits = {name: (interval.threshold, interval.t_edit) for name, interval in found.intervals.items()}
    t_boost = None if found.t_boost is None else (found.t_boost_threshold, found.t_boost)
    predicted, noisy = (curve.double().numpy() for curve in (found.curves.predicted, found.curves.noisy))
    return found.curves.timesteps, predicted, noisy, t_edits, t_boost, found.distance


def _t_boost(curves: Curves, threshold: float) -> int | None:
    try:
        return curves.t_boost(threshold)
    except IntervalError:
        return None


def _attribute(summary: DomainSummary, name: str) -> Attribute:
    """An attribute that the domain offers, with the domain's own words where it has some."""
    if name not in summary.attributes:
        near = did_you_mean(name, summary.attributes)
        raise DomainError(
            f"domain {summary.name} does not offer {name!r}{near} (all: {', '.join(summary.attributes)})"
        )
    texts = summary.per_attribute.get(name, {}).get("texts")
    if texts is None:
        return ATTRIBUTES[name]
    return Attribute(name, texts["source"], texts["target"], "unseen")
