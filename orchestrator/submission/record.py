"""Submissions of a study: what was handed to which scheduler, kept in the study's folder for every reader."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

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

    def file(self, folder: Path, ending: str) -> Path:
        """One of its files, in the study's folder."""
        return folder / SUBMISSIONS / f"{self.number:03d}{ending}"


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
    numbers = [int(path.name[:3]) for path in (folder / SUBMISSIONS).glob("[0-9][0-9][0-9].*")]
    return max(numbers, default=0) + 1


def keep(folder: Path, submission: Submission) -> None:
    """Write the record. Raises OSError."""
    path = submission.file(folder, ".json")
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(asdict(submission), indent=2), encoding="utf-8")
    temporary.replace(path)


def now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
