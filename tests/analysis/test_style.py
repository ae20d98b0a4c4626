"""Colours: told apart from the ground they are on, and the same for a cell wherever it is drawn."""

import pytest

from analysis import style

WHITE, DARK = "#ffffff", "#14171a"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("values", "is_dark", "ground"),
    [
        (values, is_dark, ground)
        for values in (list("abcdefg"), list(range(20)))
        for is_dark, ground in ((False, WHITE), (True, DARK))
    ],
)
def test_marks_stand_out_from_their_ground(values: list[object], is_dark: bool, ground: str) -> None:
    looks = style.line_styles(values, is_dark=is_dark)

    assert min(contrast(look["color"], ground) for look in looks.values()) >= 3


@pytest.mark.parametrize(
    ("colours", "ground"), [(style.VERDICT_COLOURS, WHITE), (style.VERDICTS_ON_DARK, DARK)]
)
def test_verdicts_can_be_read(colours: dict[str, str], ground: str) -> None:
    assert min(contrast(colour, ground) for colour in colours.values()) >= 4.5


def test_a_cell_looks_as_its_value_does_in_figures() -> None:
    axes = {"width": ["wide", "narrow", "tiny"]}
    cells = {"baseline": {"width": "narrow"}, "a": {"width": "wide"}, "b": {"width": "tiny"}}

    looks = style.cell_styles(cells, axes)

    by_value = style.line_styles(axes["width"])
    assert [looks[cell] for cell in cells] == [by_value[point["width"]] for point in cells.values()]


def test_cells_of_several_axes_look_different() -> None:
    cells = {str(index): {"a": index % 2, "b": index // 2} for index in range(4)}

    looks = style.cell_styles(cells, {"a": [0, 1], "b": [0, 1]})

    assert len({look["color"] for look in looks.values()}) == 4
