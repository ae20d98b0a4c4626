"""One file from which anybody recomputes the verdicts of a study: `asyrp-sweep check FILE`."""

from collections.abc import Sequence
from pathlib import Path

from analysis.evidence.bundle import unpacked
from analysis.evidence.checking import write_bundle
from analysis.export._base import Options, Target
from trainables.errors import UserError


def write(study_folder: Path, out: Path, options: Options) -> Sequence[str]:
    """Write the bundle, and check it."""
    outcome = write_bundle(study_folder, out)
    return [*outcome.lines(), f"Check it anywhere with: asyrp-sweep check {options.place.name}"]


def is_bundle(path: Path) -> bool:
    """Whether a file is a bundle of evidence, of whatever version or state."""
    try:
        unpacked(path)
    except UserError as error:
        return "is an evidence bundle" in str(error)
    return True


TARGET = Target(
    name="evidence",
    description="one file from which anybody recomputes the verdicts",
    write=write,
    owns=is_bundle,
)
