"""Other programs and formats that a study can be written to: one file each, its name as in `--to`.

Importing this package imports none of them: a target says what it needs, and imports that when it is used.
"""

from collections.abc import Sequence
from pathlib import Path

from analysis.export._base import Options, Target, replacing
from orchestrator.ledger import read_study
from trainables.errors import UserError
from trainables.registry import discover
from trainables.wording import expected, one_of

TARGETS: dict[str, Target] = discover(__name__, "TARGET", Target)

__all__ = ["TARGETS", "Options", "Target", "export", "find_target"]


def find_target(name: str, among: Sequence[str] = tuple(TARGETS)) -> Target:
    """A target, with all that it needs installed. Raises UserError for an unknown one, and for a missing package."""
    if name not in among:
        raise UserError(expected(one_of(among), name, among))
    found = TARGETS[name]
    found.check_installed()
    return found


def export(study_folder: Path, name: str, out: Path, python: Path | None = None) -> Sequence[str]:
    """Write a study into a folder for another program; what to tell the user. An earlier export is replaced as a whole.

    What has not ended is left out. Raises UserError for what the user can put right, LedgerError where the folder holds
    no study, OSError where nothing can be written.
    """
    target = find_target(name)
    study = read_study(study_folder)
    with replacing(out, {"exported to": name, "study": study.name}) as folder:
        return target.write(study_folder, folder, Options(out.absolute(), python))
