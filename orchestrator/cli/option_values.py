"""Values of command-line options that are more than a word or a number. Imports neither torch nor ray."""

import argparse
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from orchestrator.study.shards import Shard


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    found = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not 0 <= found < 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535; found {text!r}")
    return found


def shard(text: str) -> "Shard":
    """`2/4`: the second of four."""
    from orchestrator.study.shards import Shard  # Only now: --help needs none of it.

    found = re.fullmatch(r"(?a)(\d{1,6})/(\d{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"expected K/N, such as 2/4 for the second of four, with K from 1 to N; found {text!r}"
        )
    return Shard(int(found[1]), int(found[2]))


class Cost(NamedTuple):
    """A limit as written, and in seconds."""

    text: str
    seconds: float


def cost(text: str) -> Cost:
    """A time with its unit, as `seconds_of` reads it."""
    from orchestrator.space.units import seconds_of  # Only now: --help needs none of it.

    try:
        if not text[-1:].isalpha():
            raise ValueError(f"expected a time with its unit, such as 40m, 1h30m or 2d; found {text!r}")
        return Cost(text, seconds_of(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
