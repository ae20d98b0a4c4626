"""The claims of a space: statements judged by contrasts, beside the numbers that were published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.frames import StudyFrames
from analysis.labels import axis_label, places, value_label
from analysis.stats import Contrast
from orchestrator.ledger.comparisons import Comparison, Pair, claim_comparison

ClaimVerdict = Literal["supported", "contradicted", "undecided"]
"""A claim says that one side is better by an amount that matters: surely, surely not, or not known."""

_Said = tuple[ClaimVerdict, str]
"""A verdict and what else is known."""
_UNKNOWN: _Said = ("undecided", "")


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
    at: Mapping[str, float] = field(default_factory=dict)
    """Coordinate -> the value that the claim is about; each trial's own where it names none."""
    cells: Pair | None = None
    note: str = ""
    """What else is known: the side is better, but perhaps by less than matters."""
    published: Mapping[str, Any] | None = None
    """`better` and `worse`, the published numbers, and `metric`, what they are numbers of."""


@dataclass(frozen=True)
class LocatedClaim:
    """A claim and the comparison that it is about."""

    claim: Mapping[str, Any]
    metric: str
    at: Mapping[str, float]
    """Coordinate -> the value that the claim is about."""
    comparison: Comparison | None
    """None where the plan has no cell for one of the sides, or one cell for both."""


def locate(frames: StudyFrames, claim: Mapping[str, Any]) -> LocatedClaim:
    """Find the two cells of a claim; axes that it does not name are at the baseline."""
    metric = claim.get("metric") or frames.primary_metric
    at = {name: claim[name] for name in places() if claim.get(name) is not None}
    return LocatedClaim(claim, metric, at, claim_comparison(frames.study, claim))


def result(located: LocatedClaim, contrast: Contrast | None) -> ClaimResult:
    """A located claim with its verdict, from the contrast of its better side with the other."""
    claim, comparison = located.claim, located.comparison
    verdict, note = _UNKNOWN if contrast is None else _verdict(contrast)
    return ClaimResult(
        text=str(claim["text"]),
        source=str(claim.get("source", "")),
        metric=located.metric,
        comparison=f"{_words(claim, 'better')} against {_words(claim, 'worse')}",
        verdict=verdict,
        contrast=contrast,
        at=located.at,
        cells=None if comparison is None else comparison.pair,
        note=note,
        published=claim.get("published"),
    )


def _verdict(contrast: Contrast) -> _Said:
    """The margin counts on both sides: supported is surely beyond it, contradicted surely below it."""
    if contrast.verdict == "helps" and (contrast.exceeds_margin or contrast.margin <= 0):
        return "supported", ""
    if contrast.verdict in ("hurts", "equivalent") or contrast.is_short_of_margin:
        return "contradicted", ""
    return ("undecided", "better, perhaps by less than matters") if contrast.verdict == "helps" else _UNKNOWN


def _words(claim: Mapping[str, Any], role: str) -> str:
    value = claim[role]
    if not isinstance(value, Mapping):
        return value_label(value)
    return ", ".join(f"{axis_label(axis)} {value_label(own)}" for axis, own in value.items())
