"""Why the latest launch of a study ended, for `status` once it is gone."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.execution.provenance import host

FILE_NAME = "last_launch.json"
COMPLETE = "everything that it was asked for has run"


@dataclass(frozen=True)
class LastEnd:
    """What the file says."""

    why: str
    host: str
    ended_at: float
    """In seconds since 1970, by the clock of that machine."""

    @property
    def line(self) -> str:
        """What `status` says."""
        at = datetime.fromtimestamp(self.ended_at, UTC)
        return f"the latest launch ended at {at:%Y-%m-%d %H:%M:%S}Z on {self.host}: {self.why}"


def write_end(study_folder: Path, why: str) -> None:
    """Say why a launch has just ended. Nothing depends on it, so a full disk is no obstacle."""
    temporary = study_folder / f".{FILE_NAME}.tmp"
    try:
        temporary.write_text(json.dumps(asdict(LastEnd(why, host(), time.time()))), encoding="utf-8")
        temporary.replace(study_folder / FILE_NAME)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_end(study_folder: Path) -> LastEnd | None:
    """Why the latest launch that could say so ended; None where none has."""
    try:
        content = json.loads((study_folder / FILE_NAME).read_text(encoding="utf-8"))
        return LastEnd(str(content["why"]), str(content["host"]), float(content["ended_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
