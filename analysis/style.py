"""How figures look: one place for colours, fonts and sizes. Made for a paper with 5.5 in wide text.

matplotlib is imported inside functions: spaces are checked, and `analysis.figures` imported, without it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT_WIDTH = 5.5
"""Inches; the text width of the NeurIPS style."""
DPI = 200

INK = "#1a1a1a"
MUTED = "#6b6b6b"
HAIRLINE = "#d9d9d9"
BAND = "#eef1f4"

# Okabe and Ito's palette without its yellow, the lighter ones darkened to a contrast of 3 : 1 on white; black last.
CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#c66f9f", "#bb8000", "#3a97cc", "#000000")
ON_DARK = ("#4aa3df", "#ff8a3d", "#2fc79a", "#e79cc6", "#f0b840", "#a8dcf7", "#d6d6d6")
"""The same hues, one for one, for a dark page."""
VERDICT_COLOURS = {"helps": "#007a59", "hurts": "#b84e00", "equivalent": "#0072b2", "undecided": "#6b6b6b"}
"""As text, too: at least 4.5 : 1 on white."""
VERDICTS_ON_DARK = {"helps": "#2fc79a", "hurts": "#ff8a3d", "equivalent": "#4aa3df", "undecided": "#a3a3a3"}
RAMP, RAMP_ON_DARK = (0.0, 0.58), (0.35, 1.0)
"""Parts of viridis that stand out from white and from a dark page."""
LINE_STYLES: tuple[Any, ...] = (
    *("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.2, 1, 1.2)), (0, (2.5, 1.2))),
    *((0, (7, 1.5, 1, 1, 1, 1.5)), (0, (9, 2))),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Colour is never the only difference: each value has its own dashes and its own mark too."""

MATH: dict[str, Any] = {"parse_math": True}
"""For a text of our own that holds mathematics; a `$` in anybody's names is just that."""
FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
    *("Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji"),
)
"""Asked, where they are installed, for letters that the first fonts lack; else an empty box stands for a letter."""
_UNDRAWN = {"Cc", "Cf", "Mn", "Zs"}
"""Categories of letters that have no shape of their own."""
_NO_ROOM = "constrained_layout not applied because axes sizes collapsed"
WIDER = 1.4
"""How much wider a figure gets whose labels leave no room for what they label."""
MAX_PIXELS = 100_000_000
MAX_SIDE = 2**16 - 1
"""Longest side of a picture in pixels; what matplotlib can draw at all."""

_RC: dict[Any, Any] = {
    # STIX is Times in all but name and ships with matplotlib; DejaVu has the glyphs it lacks.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.dpi": DPI,
    "svg.fonttype": "path",
    # Fixed ids: the same ledger gives the same file.
    "svg.hashsalt": "asyrp-sweep",
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings while a figure is made and saved; restored afterwards."""
    import warnings

    import matplotlib

    with matplotlib.rc_context({**_RC, "font.family": _fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", _NO_ROOM, UserWarning)
        yield


def _fonts() -> list[str]:
    """The fonts of figures that are installed, in the order they are asked."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [*_RC["font.family"], *(font for font in FALLBACK_FONTS if font in installed)]


def without_glyph(text: str) -> list[str]:
    """The letters of a text, each once, that no installed font has: in figures an empty box stands for them."""
    # DejaVu, which ships with matplotlib, has these; importing that takes its time.
    if all(letter < "\u0250" or letter in "\N{MINUS SIGN}\N{EN DASH}" for letter in text):
        return []
    from matplotlib.font_manager import findfont, get_font

    drawn = set[int]().union(*(get_font(findfont(font)).get_charmap() for font in _fonts()))
    return [
        letter
        for letter in dict.fromkeys(text)
        if ord(letter) not in drawn and category(letter) not in _UNDRAWN
    ]


class TooLarge(Exception):
    """A picture that nobody could open; the message says how large."""


def new_figure(width: float, height: float, *, w_pad: float | None = 0.04) -> "Figure":
    """An empty figure of `width` x `height` inches, outside pyplot's global list.

    Its parts find their places by themselves, `w_pad` inches apart; with None they are placed by hand.
    Raises TooLarge.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    pixels = width * DPI, height * DPI
    if max(pixels) > MAX_SIDE or math.prod(pixels) > MAX_PIXELS:
        raise TooLarge(f"A picture of {pixels[0]:,.0f} x {pixels[1]:,.0f} pixels is too large")
    layout = None if w_pad is None else ConstrainedLayoutEngine(w_pad=w_pad)
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Write `<stem>.png` (200 dpi) and `<stem>.svg` (text as outlines), without dates in them."""
    paths = [stem.with_name(stem.name + ending) for ending in (".png", ".svg")]
    with styled():
        figure.set_dpi(DPI)
        _make_room(figure)
        figure.set_layout_engine(None)  # else each file would lay the same figure out again
        figure.savefig(paths[0], dpi=DPI)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _make_room(figure: "Figure", tries: int = 5) -> None:
    """Widen a figure until its labels leave room for what they label; one placed by hand has seen to that."""
    import warnings

    if figure.get_layout_engine() is None:
        return
    for _ in range(tries):
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", _NO_ROOM, UserWarning)
            figure.draw_without_rendering()
        if not caught:
            return
        figure.set_figwidth(figure.get_figwidth() * WIDER)


def line_styles(values: Sequence[Any], *, is_dark: bool = False) -> dict[Any, dict[str, Any]]:
    """Colour and dashes of each value of an axis, by its place in the axis; `is_dark` for a dark ground.

    Numbers get an ordered ramp (the smallest stands out least from black), names get distinct hues.
    """
    if are_numbers(values) and len(values) > 2:
        import matplotlib
        from matplotlib.colors import to_hex

        ramp = matplotlib.colormaps["viridis"]
        first, last = RAMP_ON_DARK if is_dark else RAMP
        order = sorted(range(len(values)), key=lambda index: float(values[index]))
        return {
            values[index]: {
                "color": to_hex(ramp(first + (last - first) * rank / (len(values) - 1))),
                "linestyle": LINE_STYLES[rank % len(LINE_STYLES)],
            }
            for rank, index in enumerate(order)
        }
    hues = ON_DARK if is_dark else CATEGORIES
    return {
        value: {
            "color": hues[index % len(hues)],
            # A second round of the palette starts at other dashes.
            "linestyle": LINE_STYLES[(index + index // len(CATEGORIES)) % len(LINE_STYLES)],
        }
        for index, value in enumerate(values)
    }


def cell_styles(
    cells: Mapping[str, Mapping[str, Any]], axes: Mapping[str, Sequence[Any]], *, is_dark: bool = False
) -> dict[str, dict[str, Any]]:
    """`line_styles` of cells, given as name -> axis values, so that a cell looks the same wherever it is drawn.

    By its value where there is one axis, else by its place.
    """
    if len(axes) == 1:
        ((axis, values),) = axes.items()
        looks = line_styles(values, is_dark=is_dark)
        own = [point.get(axis) for point in cells.values()]
        if len(set(own)) == len(own) and set(own) <= set(looks):
            return {cell: looks[value] for cell, value in zip(cells, own, strict=True)}
    return line_styles(list(cells), is_dark=is_dark)


def dashes(line_style: Any) -> list[float]:
    """Lengths of dashes and gaps of one of `LINE_STYLES`, in line widths; none for a full line."""
    return [] if line_style == "-" else list(line_style[1])


def markers(values: Sequence[Any]) -> dict[Any, dict[str, Any]]:
    """`line_styles` for points: a mark instead of dashes."""
    looks = line_styles(values)
    return {
        value: {"color": looks[value]["color"], "marker": MARKERS[index % len(MARKERS)]}
        for index, value in enumerate(values)
    }


def nothing_to_draw(message: str) -> "Figure":
    """A small figure that says why it is empty."""
    figure = new_figure(TEXT_WIDTH, 0.7)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=MUTED)
    return figure


def light_grid(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Hairlines behind the data along one direction, `x` or `y`."""
    axes.grid(True, axis=which, color=HAIRLINE, linewidth=0.4)


def text_width(texts: Iterable[str], size: float) -> float:
    """Inches that the longest line of `texts` takes at `size` points, taking a letter as half as wide as high."""
    return max((len(line) for text in texts for line in text.splitlines()), default=0) * size / 72 * 0.47


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether all values are numbers, which have an order of their own."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
