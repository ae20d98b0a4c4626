"""Values of command-line options that only h-spaces have. Imports neither torch nor ray."""

import argparse
import math

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
    if t < 0:
        raise argparse.ArgumentTypeError(f"expected a timestep, 0 or more, or auto; found {text!r}")
    return t


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number
