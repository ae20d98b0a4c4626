"""Values of command-line options that are more than a word or a number. Imports neither torch nor ray."""

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from trainables.errors import UserError
from trainables.paths import user_path

NUMBER_LISTS = ("--strength", "--coefficients")
"""Options whose values may begin with a minus sign."""


MAX_STRENGTHS = 1000


def strengths(text: str) -> tuple[float, ...]:
    """`-1:1:5` (from, to, how many) or `0.5,1`, each strength once."""
    parts = text.split(":")
    if len(parts) == 1:
        return tuple(dict.fromkeys(numbers(text)))
    try:
        (first, last), count = map(_number, parts[:2]), int(parts[2])
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(
            f"expected FROM:TO:COUNT, such as -1:1:5, or a list, such as 0.5,1; found {text!r}"
        ) from None
    if len(parts) > 3 or not math.isfinite(last - first) or not 2 <= count <= MAX_STRENGTHS:
        expected = f"FROM:TO:COUNT with a count from 2 to {MAX_STRENGTHS}"
        raise argparse.ArgumentTypeError(f"expected {expected}; found {text!r}")
    evenly = (first + (last - first) * index / (count - 1) for index in range(count))
    return tuple(dict.fromkeys(evenly))


def numbers(text: str) -> tuple[float, ...]:
    """`0.5,0.5`."""
    try:
        return tuple(_number(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between; found {text!r}") from None


def timestep(text: str) -> int | str:
    """A timestep, or `auto`."""
    if text == "auto":
        return text
    try:
        t = int(text)
    except ValueError:
        t = -1
    if not 0 <= t <= 1000:
        raise argparse.ArgumentTypeError(f"expected a timestep from 0 to 1000, or auto; found {text!r}")
    return t


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    found = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= found < 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535; found {text!r}")
    return found


def joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with such a list joined to its option: argparse takes `-1:1:5` for an option of its own."""
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] in NUMBER_LISTS:
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def path(text: str) -> Path:
    """A path, its `~` and variables expanded."""
    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class Cost(NamedTuple):
    """A limit as written, and in seconds."""

    text: str
    seconds: float


MAX_SECONDS = 1e10
"""Some three centuries; more overflows a date."""
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def cost(text: str) -> Cost:
    """`40m`, `4h`, `1h30m` or `2d`."""
    parts = re.findall(r"(?a)(\d+(?:\.\d+)?)(min|[smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"expected a time such as 40m, 4h, 1h30m or 2d; found {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds < MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"expected a time of more than nothing and at most centuries; found {text!r}"
        )
    return Cost(text, seconds)
