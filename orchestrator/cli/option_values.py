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
