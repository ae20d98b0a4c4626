"""Other programs and formats that a study can be written to: one file each, its name as in `--to`.

Importing this package imports none of them: a target says what it needs, and imports that when it is used.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from analysis.export._base import Options, Target, mark_of, replacing, replacing_file
from analysis.export._live import LiveLog, live_log
from orchestrator.ledger import read_study
from trainables.errors import UserError
from trainables.registry import discover
from trainables.wording import expected, one_of

TARGETS: dict[str, Target] = discover(__name__, "TARGET", Target)

LIVE = tuple(name for name, target in TARGETS.items() if target.sink is not None)
"""Targets that take trials while they run."""

__all__ = ["LIVE", "TARGETS", "Options", "Target", "export", "find_target", "live_logs"]


def find_target(name: str, among: Sequence[str] = tuple(TARGETS), option: str = "--to") -> Target:
    """A target, with all that it needs installed. Raises UserError for an unknown one, and for a missing package."""
    if name not in among:
        raise UserError(f"{option}: {expected(one_of(among), name, among)}")
    found = TARGETS[name]
    found.check_installed()
    return found


def export(study_folder: Path, name: str, out: Path, python: Path | None = None) -> Sequence[str]:
    """Write a study into a folder, or one file, for another program; what to tell the user.

    An earlier export is replaced as a whole. What has not ended is left out. Raises UserError for what the user can put
    right, LedgerError where the folder holds no study, OSError where nothing can be written.
    """
    target = find_target(name)
    study = read_study(study_folder)
    if target.owns is not None:
        with replacing_file(out, target.owns) as file:
            return target.write(study_folder, file, Options(out.absolute(), python))
    with replacing(out, mark_of(target, study)) as folder:
        return target.write(study_folder, folder, Options(out.absolute(), python))


def live_logs(names: Iterable[str]) -> dict[str, Callable[[Path], LiveLog]]:
    """For a launch: target -> what makes its log, in a folder of that name in the study's. Raises as `find_target`."""
    asked = (names,) if isinstance(names, str) else names
    return {name: live_log(find_target(name, LIVE, "--log-to")) for name in asked}
