"""Lists and ranges on the command line."""

import argparse

import pytest

from trainables.command_line import joined
from trainables.h_space.cli.option_values import numbers, strengths, timestep
from trainables.h_space.command_line import COMMAND_LINE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1.0,)),
        ("0.5,1,-2", (0.5, 1.0, -2.0)),
        ("0.5,1,0.5", (0.5, 1.0)),
        ("-1:1:5", (-1.0, -0.5, 0.0, 0.5, 1.0)),
        ("1:0:3", (1.0, 0.5, 0.0)),
        ("2:2:4", (2.0,)),
    ],
)
def test_strengths_are_a_range_or_a_list(text: str, expected: tuple[float, ...]) -> None:
    assert strengths(text) == expected


def test_a_range_through_zero_holds_zero_exactly() -> None:
    assert strengths("-1:1:7")[3] == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "1:2",
        "1:2:x",
        "1:2:1",
        "0:1:3:4",
        "nan",
        "0:inf:3",
        "-1e308:1e308:3",
        "0:1:10000000000",
        "1,,2",
    ],
)
def test_other_strengths_are_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        strengths(text)


def test_coefficients_may_repeat() -> None:
    assert numbers("0.5,0.5") == (0.5, 0.5)


def test_a_timestep_is_a_number_or_auto_and_zero_is_one() -> None:
    assert [timestep(text) for text in ("0", "167", "auto")] == [0, 167, "auto"]
    for text in ("-1", "1.5", "soon"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a timestep"):
            timestep(text)


def test_a_negative_range_reaches_its_option() -> None:
    lists = COMMAND_LINE.commands[0].number_lists

    assert joined(["edit", "--strength", "-1:1:5", "a.png"], lists) == ["edit", "--strength=-1:1:5", "a.png"]
    assert joined(["edit", "--strength=-1:1:5"], lists) == ["edit", "--strength=-1:1:5"]
    assert joined(["edit", "--strength"], lists) == ["edit", "--strength"]
