"""What is wrong with the figures that a space asks for; `analysis` knows, and planning must not wait for it."""

from collections.abc import Iterable, Iterator

from orchestrator.plan.checks.space import known_metrics
from orchestrator.space.config import Space
from trainables.families import described


def check_figures(space: Space) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a space's figures, at their places in the file."""
    from analysis import figures, labels

    config = space.config
    labels.use_words(described(space.family, known_metrics(space)), space.family.name)
    axes = {name: list(axis.names) for name, axis in config.axes.items()}
    for place, message in figures.check(config.figures, axes):
        yield ("figures", *place), message


def figure_remarks(space: Space) -> Iterator[str]:
    """What figures cannot show of a space's names: letters that no font here has, and where they are."""
    from analysis.style import without_glyph

    found = {place: lacking for place, text in _drawn_texts(space) if (lacking := without_glyph(text))}
    if found:
        letters = " ".join(dict.fromkeys(letter for lacking in found.values() for letter in lacking))
        yield (
            f"note: no font here has {letters} ({', '.join(found)}): figures show empty boxes instead, tables and the "
            "page do not; install a font that has them, such as Noto Sans CJK, or choose other names"
        )


def _drawn_texts(space: Space) -> Iterator[tuple[str, str]]:
    """Places of a space's file, and the texts there that stand in figures."""
    config = space.config
    for name, axis in config.axes.items():
        yield f"axes.{name}", "".join([name, *(value for value in axis.names if isinstance(value, str))])
    yield from ((f"claims[{index}].text", claim.text) for index, claim in enumerate(config.claims))
    for name, metric in known_metrics(space).items():
        yield f"metric {name}", f"{metric.label}{metric.unit}"
