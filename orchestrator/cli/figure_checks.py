"""What is wrong with the figures that a space asks for; `analysis` knows, and planning must not wait for it."""

from collections.abc import Iterable

from orchestrator.space.config import SpaceConfig


def check_figures(config: SpaceConfig) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a space's figures, at their places in the file."""
    from analysis import figures

    axes = {name: list(axis.names) for name, axis in config.axes.items()}
    for place, message in figures.check(config.figures, axes):
        yield ("figures", *place), message
