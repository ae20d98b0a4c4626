"""The claims of a space: statements judged by contrasts, beside the numbers that were published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.frames import AxisValue, StudyFrames
from analysis.labels import axis_label, value_label
from analysis.stats import Contrast, Verdict

Pair = tuple[str, str]
"""(cell, reference)."""
ClaimVerdict = Literal["supported", "contradicted", "undecided"]

_VERDICTS: dict[Verdict, ClaimVerdict] = {
    "helps": "supported",
    "hurts": "contradicted",
    "equivalent": "contradicted",  # A claim says one is better by an amount that matters.
    "undecided": "undecided",
}


@dataclass(frozen=True)
class ClaimResult:
    """A statement of the space, judged by the paired contrast of its two sides."""

    text: str
    source: str
    metric: str
    comparison: str
    verdict: ClaimVerdict
    contrast: Contrast | None
    """None where the plan has no cell for one of the sides."""
    strength: float | None = None
    """The strength that the claim is about; each trial's primary one where it names none."""
    cells: Pair | None = None
    published: Mapping[str, Any] | None = None
    """`better` and `worse`, the published numbers, and `metric`, what they are numbers of."""


@dataclass(frozen=True)
class LocatedClaim:
    """A claim and the two cells that it is about."""

    claim: Mapping[str, Any]
    metric: str
    strength: float | None
    cells: Pair | None
    """None where the plan has no cell for one of the sides, or one cell for both."""

    @property
    def family(self) -> tuple[str, float | None]:
        """Claims about the same metric at the same strength are judged together."""
        return self.metric, self.strength


def locate(frames: StudyFrames, claim: Mapping[str, Any]) -> LocatedClaim:
    """Find the two cells of a claim; axes that it does not name are at the baseline."""
    better, worse = (_cell_at(frames, side(claim, role)) for role in ("better", "worse"))
    cells = None if better is None or worse is None or better == worse else (better, worse)
    return LocatedClaim(claim, claim.get("metric") or frames.primary_metric, claim.get("strength"), cells)


def side(claim: Mapping[str, Any], role: str) -> dict[str, AxisValue]:
    """The axis values that one side of a claim names."""
    value = claim[role]
    return dict(value) if isinstance(value, Mapping) else {claim["axis"]: value}


def result(located: LocatedClaim, family: Mapping[Pair, Contrast]) -> ClaimResult:
    """A located claim with its verdict."""
    claim, cells = located.claim, located.cells
    contrast: Contrast | None = None
    verdict: ClaimVerdict = "undecided"
    if cells is not None:
        contrast = family[cells] if cells in family else family[cells[::-1]].reversed(cells[0])
        verdict = _VERDICTS[contrast.verdict]
    return ClaimResult(
        text=str(claim["text"]),
        source=str(claim.get("source", "")),
        metric=located.metric,
        comparison=f"{_words(claim, 'better')} against {_words(claim, 'worse')}",
        verdict=verdict,
        contrast=contrast,
        strength=located.strength,
        cells=cells,
        published=claim.get("published"),
    )


def _cell_at(frames: StudyFrames, point: Mapping[str, AxisValue]) -> str | None:
    return frames.cells_along(list(point)).get(tuple(point.values()))


def _words(claim: Mapping[str, Any], role: str) -> str:
    value = claim[role]
    if not isinstance(value, Mapping):
        return value_label(value)
    return ", ".join(f"{axis_label(axis)} {value_label(own)}" for axis, own in value.items())
