"""Any text in any file that a report writes: what a format would read as its own is escaped, here and nowhere else.

HTML is escaped by the template engine; matplotlib reads no mathematics but that of `style.MATH`.
"""

import re

import pandas as pd

_TEX = {
    **{"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"},
    **{"{": r"\{", "}": r"\}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\n": " "},
    **{"±": r"$\pm$", "−": "$-$", "–": "--", "×": r"$\times$", "≈": r"$\approx$", "≥": r"$\geq$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$", "Δ": r"$\Delta$", "→": r"$\to$"},
    **{"<": "$<$", ">": "$>$", "ε": r"$\varepsilon$", "ᾱ": r"$\bar\alpha$", "λ": r"$\lambda$"},
}
"""What LaTeX would read as a command, and the symbols that it does not know."""

_MARKDOWN = re.compile(
    r"[\\`*|$~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word it means nothing
    r"|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|\](?=[(\[:])"
)
_FORMULA = re.compile(r"'*[=+\-@\t\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def tex(text: str) -> str:
    """A text for LaTeX, on one line."""
    return "".join(_TEX.get(letter, letter) for letter in on_one_line(text))


def tex_label(name: str) -> str:
    """A name for `\\label`, which knows no escapes."""
    return re.sub(r"[^A-Za-z0-9:_-]+", "-", name)


def markdown(text: str) -> str:
    """A text for Markdown with tables, as GitHub reads it, on one line."""
    return _MARKDOWN.sub(lambda found: f"\\{found.group()}", on_one_line(text))


def csv_text(text: str) -> str:
    """A text for CSV that no spreadsheet takes for a formula: then an apostrophe stands before it.

    Line breaks are those of Unix, since pandas leaves a lone carriage return without quotes.
    """
    text = re.sub(r"\r\n?", "\n", text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def for_csv(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every text in it as `csv_text`."""
    texts = table.select_dtypes(exclude=["number", "bool"]).columns
    changed = {
        name: table[name].map(lambda value: csv_text(value) if isinstance(value, str) else value)
        for name in texts
    }
    return table.assign(**changed).rename(columns=csv_text)


def on_one_line(text: str) -> str:
    """The text without line breaks."""
    return re.sub(r"\s*[\r\n\x0b\x0c\x85\u2028\u2029]\s*", " ", text)
