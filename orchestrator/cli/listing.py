"""What `list` shows: everything a space file can name."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

Rows = Iterator[tuple[str, ...]]


def show(what: str, console: Console) -> None:
    """Print one of the lists; descriptions are wrapped, names never."""
    headers, rows = LISTS[what]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, no_wrap=index == 0)
    for row in rows():
        table.add_row(*map(Text, row))
    console.print(table)


def _spaces() -> Rows:
    from search_spaces import shipped_spaces
    from trainables.yaml_tree import read_yaml

    for name, file in shipped_spaces().items():
        content = read_yaml(file.read_text(encoding="utf-8")).content
        yield name, content["question"]


def _attributes() -> Rows:
    from trainables.h_space.attributes import ATTRIBUTES

    for attribute in ATTRIBUTES.values():
        yield attribute.name, attribute.source, attribute.target, attribute.domain


def _domains() -> Rows:
    from trainables.h_space.domains import DomainError, domain_summary, shipped_domains

    for name in shipped_domains():
        try:
            shape = domain_summary(name).shape
            yield name, f"ready; bottleneck {shape.channels} x {shape.height} x {shape.width}"
        except DomainError as error:
            yield name, str(error)


def _editors() -> Rows:
    from trainables.h_space.editors import EDITORS

    for kind, settings in EDITORS.items():
        names = [name for name in settings.model_fields if name != "kind"]
        yield kind, (settings.__doc__ or "").strip().splitlines()[0], ", ".join(names)


def _metrics() -> Rows:
    from trainables.h_space.metrics import METRICS

    for metric in METRICS.values():
        yield metric.name, "higher" if metric.higher_is_better else "lower", metric.description


def _figures() -> Rows:
    from analysis.figures import FIGURES

    for kind, figure in FIGURES.items():
        yield kind, (figure.config.__doc__ or "").strip().splitlines()[0]


def _families() -> Rows:
    from trainables.families import family_names, find_family

    for name in family_names():
        family = find_family(name, Path.cwd())
        yield name, family.description, ", ".join(family.Config.model_fields)


LISTS = {
    "families": (("family", "trains", "settings"), _families),
    "spaces": (("space", "question"), _spaces),
    "attributes": (("attribute", "source", "target", "seen in training"), _attributes),
    "domains": (("domain", "state"), _domains),
    "editors": (("editor", "reads", "settings"), _editors),
    "metrics": (("metric", "better", "meaning"), _metrics),
    "figures": (("figure", "shows"), _figures),
}
