"""What `list` shows: everything a space file can name."""

import argparse
from collections import ChainMap
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainables.command_line import Listing, command_lines, resolved
from trainables.families import DEFAULT_FAMILY, family_names, find_family
from trainables.registry import origin_of

Rows = Iterator[tuple[str, ...]]


def list_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Print one of the lists; descriptions are wrapped, names never."""
    what, family = options.what, options.family
    metrics = Listing(("metric", "better", "meaning"), lambda: _metrics(family or DEFAULT_FAMILY))
    lists = ChainMap({"metrics": metrics, **LISTS}, *(dict(line.lists) for line in command_lines().values()))
    headers, rows = lists[what].headers, list(resolved(lists[what].rows)())
    origins = [origin_of(what.removesuffix("s"), row[0]) for row in rows]
    if any(origins):
        headers = (*headers, "from")
        names = ["the package" if origin is None else origin.name for origin in origins]
        rows = [(*row, name) for row, name in zip(rows, names, strict=True)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        table.add_column(header, no_wrap=index == 0 or header == "from")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    return 0


def _spaces() -> Rows:
    from search_spaces import shipped_spaces
    from trainables.yaml_tree import read_yaml

    for name, file in shipped_spaces().items():
        content = read_yaml(file.read_text(encoding="utf-8")).content
        yield name, content["question"]


def _metrics(family: str) -> Rows:
    for metric in find_family(family, Path.cwd()).metrics.values():
        yield metric.name, "higher" if metric.higher_is_better else "lower", metric.description


def _figures() -> Rows:
    from analysis.figures import FIGURES

    for kind, figure in FIGURES.items():
        yield kind, (figure.config.__doc__ or "").strip().splitlines()[0]


def _families() -> Rows:
    for name in family_names():
        family = find_family(name, Path.cwd())
        yield name, family.description, ", ".join(family.Config.model_fields)


LISTS = {
    "families": Listing(("family", "trains", "settings"), _families),
    "spaces": Listing(("space", "question"), _spaces),
    "figures": Listing(("figure", "shows"), _figures),
}
