"""Whatever names and texts hold, every file of a report can be read, and says them as they are."""

import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from analysis import style
from analysis.escaping import csv_text, for_csv, on_one_line, tex, tex_label
from analysis.figures import check
from analysis.figures._text import Bold, TextTable, latex, markdown
from analysis.page.shape import StudyPage
from analysis.report import build_report, verdict_lines
from trainables.names import visible

Study = Callable[..., Path]
PageData = Callable[[Path], StudyPage]

UGLY = "a$b^{c}_d~#%&\\ <script>alert(1)</script>"
NAMES = [
    UGLY,
    "=1+1",
    "[red]x[/] \N{GRINNING FACE} é\N{COMBINING ACUTE ACCENT} שלום",
    "**b** | `c` [l](http://e)",
]
FIGURES = [
    {"kind": "curves", "by": "heads"},
    {"kind": "image_grid", "rows": "epoch", "columns": "heads", "fixed": {"seed": 0}},
    {"kind": "effects", "title": UGLY},
    {"kind": "table"},
    {"kind": "line", "x": "strength", "by": "heads", "metrics": ["s_dir"]},
    {"kind": "subgroups", "metrics": ["s_dir"], "label": "skin"},
    {"kind": "pareto"},
    {"kind": "scorecard"},
]
CLAIM = {"text": UGLY, "axis": "heads", "better": NAMES[0], "worse": NAMES[1], "source": NAMES[3]}

# Letters that some format reads as its own, among ordinary ones.
HOSTILE = st.text(
    st.one_of(st.sampled_from("$^{}~_%#&\\<>|*`[]()!+-=@'\" \nabn1"), st.characters(codec="utf-8"))
)
LINE = HOSTILE.map(visible).map(on_one_line)
quick = settings(max_examples=100, derandomize=True, deadline=None, database=None)


def test_a_report_of_hostile_names_is_whole(make_study: Study, page_data: PageData) -> None:
    assert check(FIGURES, {"heads": NAMES}) == []
    folder = make_study(
        effects={name: 0.5 - 0.1 * index for index, name in enumerate(NAMES)},
        axis="heads",
        num_seeds=2,
        epochs=1,
        batches=2,
        num_images=1,
        claims=[CLAIM],
        figures=FIGURES,
    )

    page = build_report(folder)

    html = page.read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert page_data(page)["claims"][0]["text"] == UGLY
    assert "'=1+1" in (folder / "report" / "table.csv").read_text()
    assert r"a\$b\textasciicircum{}\{c\}\_d\textasciitilde{}" in (folder / "report" / "table.tex").read_text()
    assert any(UGLY in line for line in verdict_lines(folder))


class _Texts(HTMLParser):
    """The text of every cell of a page's tables."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@quick
@given(st.lists(LINE, min_size=2, max_size=2))
def test_a_markdown_reader_gets_every_entry_back(row: list[str]) -> None:
    text = markdown(TextTable(["a", "b"], [[row[0], Bold(row[1])]]))

    texts = _Texts()
    texts.feed(MarkdownIt("gfm-like", {"linkify": False}).render(text))

    assert [" ".join(cell.split()) for cell in texts.cells[2:3]] == [" ".join(row[0].split())]


def untexed(text: str) -> str:
    """The letters that LaTeX would print."""
    for name, letter in {"textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~"}.items():
        text = text.replace(rf"\{name}{{}}", f"\ue000{ord(letter):03d}")
    text = text.replace("$<$", "<").replace("$>$", ">")
    text = re.sub(r"\\([&%_#${}])", r"\1", text)
    return re.sub("\ue000([0-9]{3})", lambda found: chr(int(found[1])), text)


@quick
@given(st.text(st.sampled_from("$^{}~_%#&\\<>|*[]\nabn1 é猫")))
def test_latex_prints_every_text_as_it_is(text: str) -> None:
    escaped = tex(text)

    assert untexed(escaped) == on_one_line(text)
    assert not re.search(r"(?<!\\)[%#&_]", escaped)


def test_latex_rows_and_labels_hold_no_commands() -> None:
    text = latex(TextTable(["a"], [["[x] \\"]]), "A\n\ncaption", "tab:a b$%")

    assert "\n{}[x] \\textbackslash{} \\\\\n" in text
    assert r"\caption{A caption}" in text
    assert r"\label{tab:a-b-}" in text
    assert tex_label("tab:x_1") == "tab:x_1"


@quick
@given(HOSTILE)
def test_csv_gives_back_every_text_and_no_formula(text: str) -> None:
    written = for_csv(pd.DataFrame({"a": ["x", text]})).to_csv(index=False)

    (_, _, [read]) = csv.reader(io.StringIO(written, newline="")) if text else (0, 0, [""])

    expected = re.sub("\r\n?", "\n", text)
    assert read in (expected, f"'{expected}")
    assert not re.match(r"[=@\t\n]|[+-](?![\d.]+([eE][+-]?\d+)?$)", read)


def test_numbers_in_a_csv_stay_as_they_are() -> None:
    assert [csv_text(text) for text in ("-1", "+0.5", "-1e-3", "-x", "=1", "'=1")] == [
        *("-1", "+0.5", "-1e-3"),
        *("'-x", "'=1", "''=1"),
    ]


@quick
@given(st.text(st.characters()))
def test_nothing_shown_moves_a_cursor(text: str) -> None:
    shown = visible(text)

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()


@quick
@given(LINE)
def test_any_text_can_be_drawn(text: str) -> None:
    with style.styled():
        figure = style.new_figure(1, 1)
        figure.text(0, 0, text)
        figure.draw_without_rendering()


def test_a_figure_too_large_to_open_is_refused() -> None:
    with pytest.raises(style.TooLarge, match="1,000 x 400,000 pixels is too large"):
        style.new_figure(5, 2000)


def test_a_report_with_a_figure_too_large_keeps_its_numbers(
    make_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_study(
        num_seeds=2, epochs=1, batches=2, num_images=1, figures=[{"kind": "curves", "by": "encoder"}]
    )
    monkeypatch.setattr(style, "MAX_PIXELS", 200_000)

    build_report(folder)

    written = {path.name for path in (folder / "report").iterdir()}
    assert {"curves_encoder.csv", "curves_encoder.png"} <= written
    with Image.open(folder / "report" / "curves_encoder.png") as picture:
        assert picture.height == 140  # of the figure that says why, 0.7 inches high


def test_a_figure_gets_room_for_long_labels(tmp_path: Path) -> None:
    with style.styled():
        figure = style.new_figure(2, 1)
        figure.subplots().set_yticks([0], ["w" * 60])

        style.save_figure(figure, tmp_path / "wide")

    assert figure.get_figwidth() > 2
