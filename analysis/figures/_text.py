"""Tables to be read: one form, written as Markdown, as LaTeX and into the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TEX_COMMANDS = {"\\": r"\textbackslash ", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}
_TEX_SYMBOLS = {
    **{"±": r"$\pm$", "−": "$-$", "–": "--", "×": r"$\times$", "≈": r"$\approx$", "≥": r"$\geq$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$", "Δ": r"$\Delta$", "→": r"$\to$"},
    **{"<": "$<$", ">": "$>$", "ε": r"$\varepsilon$", "ᾱ": r"$\bar\alpha$", "λ": r"$\lambda$"},
}
BOLD = "**"
"""Around an entry that is to be bold."""


@dataclass(frozen=True)
class TextTable:
    """Titles and entries, already as text."""

    titles: list[str]
    rows: list[list[str]]
    num_text_columns: int = 1
    """Columns from the left that hold words and stand flush left; the others hold numbers."""


def bold(text: str) -> str:
    """Mark an entry as bold."""
    return f"{BOLD}{text}{BOLD}"


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
    escaped = [[entry.replace("|", r"\|") for entry in row] for row in (table.titles, *table.rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [escaped[0], rule, *escaped[1:]]) + "\n"


def latex(table: TextTable, caption: str, label: str) -> str:
    """A booktabs table."""
    words = table.num_text_columns
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{tex(caption)}}}",
        rf"\label{{{label}}}",
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


def tex(text: str) -> str:
    """Escape what LaTeX would read as a command, and spell the symbols that it does not know."""
    plain = "".join(_TEX_COMMANDS.get(letter, letter) for letter in text)
    for symbol, spelled in _TEX_SYMBOLS.items():
        plain = plain.replace(symbol, spelled)
    return plain


def _tex_row(entries: Sequence[str]) -> str:
    typeset = [
        rf"\textbf{{{tex(entry.strip('*'))}}}" if entry.startswith(BOLD) else tex(entry) for entry in entries
    ]
    return " & ".join("$n$" if entry == "n" else entry for entry in typeset) + r" \\"
