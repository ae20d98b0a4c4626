"""Sizes and times as people write them."""

import re
from collections.abc import Callable

from pydantic import AfterValidator

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
MAX_BYTES = 2**63
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
MAX_SECONDS = 1e10
"""Some three centuries; more overflows a date."""


def written(parse: Callable[[str | int], object]) -> AfterValidator:
    """For a setting that stays as it is written, once `parse` has read it."""

    def checked(value: str | int) -> str | int:
        parse(value)
        return value

    return AfterValidator(checked)


def bytes_of(size: str | int) -> int:
    """`2GiB`, `500MB`, `1.5 TB` or a plain number of bytes. Raises ValueError for anything else, and for nothing."""
    match = re.fullmatch(r"(?a)(\d+(?:\.\d+)?)\s*([a-z]*)", str(size).strip().lower())
    number = float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else 0.0
    found = round(number) if number < MAX_BYTES else 0
    if found == 0:
        raise ValueError(f"expected a size such as 500MB or 2GiB; found {size!r}")
    return found


def seconds_of(time: str | int) -> float:
    """`90s`, `40m`, `1h30m`, `2d` or a plain number of seconds. Raises ValueError for anything else, and for 0."""
    text = str(time).strip()
    part = r"(\d+(?:\.\d+)?)\s*(min|[smhd])"
    written = f"{text}s" if re.fullmatch(r"(?a)\d+(\.\d+)?", text) else text
    is_time = re.fullmatch(f"(?a)({part})+", written)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in re.findall(f"(?a){part}", written))
    if not is_time or not 0 < seconds < MAX_SECONDS:
        raise ValueError(f"expected a time such as 90s, 40m, 1h30m or 2d; found {text!r}")
    return seconds


def size_of(num_bytes: int) -> str:
    """Three digits and a unit: `1.5 MB`."""
    power = min((len(str(num_bytes)) - 1) // 3, 4)
    return f"{num_bytes / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
