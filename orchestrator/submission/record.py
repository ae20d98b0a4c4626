"""Submissions of a study: what was handed to which scheduler, kept in the study's folder for every reader."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from orchestrator.ledger.copies import working_copy_of
from orchestrator.ledger.durable import write_text_atomically
from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.study import SUBMISSIONS
from orchestrator.submission.site import PlaceName


@dataclass(frozen=True)
class Submission:
    """One job."""

    number: int
    on: PlaceName
    job: str
    """The scheduler's id."""
    address: str
    """Of the scheduler, where it has one: a dashboard's address, a namespace."""
    command: str
    """What the user typed."""
    since: str
    """UTC."""
    files: str = ""
    """Folder of its script and log on the machine that submitted it; empty where that is the study's own."""
    shards: int = 0
    """Of how many jobs its array is; 0 where it is one job."""

    def file(self, folder: Path, ending: str) -> Path:
        """Its script or its log; `folder` is the study's."""
        return Path(self.files or folder / SUBMISSIONS) / f"{self.number:03d}{ending}"

    def logs(self, folder: Path) -> list[Path]:
        """Its log, or that of each job of its array."""
        endings = [f"-{number}.log" for number in range(1, self.shards + 1)] or [".log"]
        return [self.file(folder, ending) for ending in endings]


LOCAL_SUBMISSIONS = f".{SUBMISSIONS}"
"""In this machine's copy of a study that an object store holds: scripts and logs, which schedulers want on a disk."""


_READ = TypeAdapter(Submission)


def submissions(folder: Path) -> list[Submission]:
    """All that a study has had, the latest last. Raises LedgerError for a record that cannot be read."""
    found = []
    for path in sorted((folder / SUBMISSIONS).glob("*.json")):
        try:
            found.append(_READ.validate_json(path.read_bytes(), strict=True))
        except (OSError, ValidationError) as error:
            raise LedgerError(f"{path} is no record of a submission; move it away") from error
    return sorted(found, key=lambda one: one.number)


def next_number(folder: Path) -> int:
    """The number of the next submission; files of one that was only written count, so that none is overwritten."""
    places = (folder / SUBMISSIONS, folder / LOCAL_SUBMISSIONS)
    numbers = [int(path.name[:3]) for place in places for path in place.glob("[0-9][0-9][0-9].*")]
    return max(numbers, default=0) + 1


def keep(folder: Path, submission: Submission) -> None:
    """Write the record, also into the object store that a study's folder is a copy of. Raises OSError, LedgerError."""
    path = folder / SUBMISSIONS / f"{submission.number:03d}.json"
    write_text_atomically(path, json.dumps(asdict(submission), indent=2))
    if (copy := working_copy_of(folder)) is not None:
        copy.push([path])


def now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
