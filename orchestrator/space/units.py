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


def size_of(num_bytes: int) -> str:
    """Three digits and a unit: `1.5 MB`."""
    power = min((len(str(num_bytes)) - 1) // 3, 4)
    return f"{num_bytes / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
