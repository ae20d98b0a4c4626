"""Whether the verdicts in a bundle follow from its rows."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from analysis.evidence.bundle import Bundle, packed, unpacked
from analysis.evidence.content import derived, given_of_files, given_of_study, judged_by

State = Literal["verified", "altered", "damaged"]
TOLERANCE = 1e-9
"""Relative: what other processors and versions of NumPy may change in a sum."""
_SHOWN = 20


@dataclass(frozen=True)
class Outcome:
    """What was found of a bundle."""

    state: State
    differences: tuple[str, ...]
    """What differs, each in a line; none where it is verified."""
    digest: str
    page: str
    """What the bundle says of itself; empty where it cannot be read."""

    def lines(self) -> list[str]:
        """For a terminal."""
        meaning = {
            "verified": "verified: every verdict follows from the rows in it",
            "altered": "altered: its files are as its manifest says, but its verdicts do not follow from its rows",
            "damaged": "damaged: it is not the file that was written",
        }
        more = len(self.differences) - _SHOWN
        return [
            meaning[self.state],
            *(f"  {line}" for line in self.differences[:_SHOWN]),
            *([f"  and {more} more"] if more > 0 else []),
            *(self.page.splitlines()[:-1] if self.state == "verified" else []),
            *([f"SHA-256 of its manifest: {self.digest}"] if self.digest else []),
        ]


def write_bundle(folder: Path, target: Path) -> Outcome:
    """Write the evidence of a study, and check it. Raises LedgerError without a study, UserError for a search."""
    given = given_of_study(folder)
    target.write_bytes(packed({**given.files(), **derived(given)}))
    return check(target)


def check(path: Path) -> Outcome:
    """Recompute every verdict of a bundle from its rows, and say what differs.

    Raises UserError for a file that is no bundle, or one of another version.
    """
    bundle = unpacked(path)
    page = bundle.files.get("README.md", b"").decode(errors="replace")
    if bundle.damage:
        return Outcome("damaged", bundle.damage, bundle.digest, page)
    differences = tuple(_differences(bundle))
    if differences:
        differences += tuple(_other_rules(bundle))
    return Outcome("altered" if differences else "verified", differences, bundle.digest, page)


def _differences(bundle: Bundle) -> Iterator[str]:
    try:
        given = given_of_files(bundle.files)
        expected = derived(given)
        known = {**given.files(), **expected}
    except Exception as error:  # Whatever a changed file may hold: none that was written fails here.
        yield f"no verdict can be computed from its rows: {type(error).__name__}: {error}"
        return
    yield from (f"{name} is missing" for name in known if name not in bundle.files)
    yield from (f"{name} belongs to no bundle" for name in bundle.files if name not in known)
    if bundle.files["origin.json"] != given.files()["origin.json"]:
        yield "origin.json is written in another way than a bundle has it"
    for name, content in expected.items():
        own = bundle.files.get(name, content)
        if name.endswith(".json"):
            yield from _compared(name, _parsed(own), json.loads(content))
        elif own != content:
            yield f"{name} is another than follows from its rows"


def _other_rules(bundle: Bundle) -> Iterator[str]:
    """Where other releases computed the verdicts: their rules, not the rows, may be what differs."""
    origin = _parsed(bundle.files.get("origin.json", b""))
    then = origin.get("judged_by") if isinstance(origin, Mapping) else None
    if isinstance(then, Mapping) and then != judged_by():
        told = ", ".join(f"{name} {then.get(name)}" for name in judged_by())
        yield f"its verdicts were computed by {told}; this is {', '.join(map(' '.join, judged_by().items()))}"


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _compared(place: str, recorded: Any, computed: Any) -> Iterator[str]:
    """What differs between two documents: `verdicts.json contrasts 2 mean: 0.1 is recorded, 0.2 follows`."""
    if isinstance(recorded, Mapping) and isinstance(computed, Mapping):
        for name in sorted({*recorded, *computed}, key=str):
            if name not in computed or name not in recorded:
                yield f"{place} {name}: {'only recorded' if name in recorded else 'not recorded'}"
            else:
                yield from _compared(f"{place} {name}", recorded[name], computed[name])
    elif isinstance(recorded, list) and isinstance(computed, list) and len(recorded) == len(computed):
        for index, (one, other) in enumerate(zip(recorded, computed, strict=True), 1):
            yield from _compared(f"{place} {index}", one, other)
    elif not _same(recorded, computed):
        yield f"{place}: {_short(recorded)} is recorded, {_short(computed)} follows"


def _same(recorded: Any, computed: Any) -> bool:
    is_number = all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (recorded, computed)
    )
    if is_number:
        return math.isclose(recorded, computed, rel_tol=TOLERANCE, abs_tol=1e-12)
    return type(recorded) is type(computed) and bool(recorded == computed)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
