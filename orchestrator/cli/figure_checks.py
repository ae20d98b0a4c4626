"""What is wrong with the figures that a space asks for; `analysis` knows, and planning must not wait for it."""

from collections.abc import Iterable

from orchestrator.space.config import Space
from orchestrator.study.document import described_metrics


def check_figures(space: Space) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a space's figures, at their places in the file."""
    from analysis import figures, labels

    config = space.config
    labels.use_metrics(described_metrics(space), space.family.name, space.family.curve_columns())
    axes = {name: list(axis.names) for name, axis in config.axes.items()}
    for place, message in figures.check(config.figures, axes):
        yield ("figures", *place), message
