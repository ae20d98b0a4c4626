"""Tables to be read: one form, written as Markdown, as LaTeX and into the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.escaping import markdown as escaped
from analysis.escaping import tex, tex_label


@dataclass(frozen=True)
class TextTable:
    """Titles and entries, already as text."""

    titles: list[str]
    rows: list[list[str]]
    num_text_columns: int = 1
    """Columns from the left that hold words and stand flush left; the others hold numbers."""


class Bold(str):
    """An entry that is to be bold."""


def write_table(table: TextTable, caption: str, stem: Path) -> list[Path]:
    """Write `<stem>.md` and `<stem>.tex`."""
    texts = {".md": markdown(table), ".tex": latex(table, caption, f"tab:{stem.name}")}
    paths = []
    for ending, text in texts.items():
        paths.append(stem.with_name(stem.name + ending))
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def markdown(table: TextTable) -> str:
    """A pipe table."""
    rule = [":--" if index < table.num_text_columns else "--:" for index in range(len(table.titles))]
    titles, *rows = [[_markdown_entry(entry) for entry in row] for row in (table.titles, *table.rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, rule, *rows]) + "\n"


def latex(table: TextTable, caption: str, label: str) -> str:
    """A booktabs table."""
    words = table.num_text_columns
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{tex(caption)}}}",
        rf"\label{{{tex_label(label)}}}",
        rf"\begin{{tabular}}{{{'l' * words}{'r' * (len(table.titles) - words)}}}",
        r"\toprule",
        _tex_row(table.titles),
        r"\midrule",
        *map(_tex_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(entries: Sequence[str]) -> str:
    # After the break of the row above, LaTeX would read a bracket or a star as belonging to that.
    first = "{}" if entries[0].startswith(("[", "*")) else ""
    return first + " & ".join(map(_tex_entry, entries)) + r" \\"


def _tex_entry(entry: str) -> str:
    if entry == "n":
        return "$n$"
    return rf"\textbf{{{tex(entry)}}}" if isinstance(entry, Bold) else tex(entry)


def _markdown_entry(entry: str) -> str:
    return f"**{escaped(entry)}**" if isinstance(entry, Bold) else escaped(entry)
