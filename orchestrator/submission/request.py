"""What is handed to a scheduler: a launch, and the machines it asks for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainables.errors import UserError

COMMAND_VARIABLE = "ASYRP_SWEEP_COMMAND"
"""In a job: what the user typed, which is what goes on from where the job stops."""
GRACE_SECONDS = 120
"""How long before its end a job is told, if it is long: Slurm rounds by up to a minute."""


@dataclass(frozen=True)
class Request:
    """One launch of a study, as `submit` was asked for it."""

    study: str
    """Its name."""
    folder: Path
    """Where the script and the log of the submission go, seen by every machine."""
    number: int
    """Counts the submissions of the study, from 1."""
    launch: tuple[str, ...]
    """Arguments of asyrp-sweep: `run` or `tune`, the space, and its options."""
    seconds: float | None
    """Most time of the job; None where the place decides."""
    said: str
    """The command that the user typed."""
    url: str | None = None
    """Of the object store that holds the results; None where a folder does."""
    shards: int | None = None
    """How many jobs share the trials; None for one job that runs them all."""

    @property
    def name(self) -> str:
        """Of the submission's files."""
        return f"{self.number:03d}"

    @property
    def grace(self) -> int:
        """How many seconds before its end a job is told."""
        return GRACE_SECONDS if self.seconds is None else min(GRACE_SECONDS, int(self.seconds / 6))

    @property
    def minutes(self) -> int | None:
        """The time in whole minutes, at least as long."""
        return None if self.seconds is None else math.ceil(self.seconds / 60)


class SubmissionError(UserError):
    """A scheduler that is missing, unreachable, or refused; the message says which and what to do."""


@dataclass(frozen=True)
class Job:
    """A job of a scheduler."""

    id: str
    state: str
    """In the scheduler's own words; empty where it knows the job no more, or cannot be asked."""
    is_active: bool
    """Whether it waits or runs."""


class Place(Protocol):
    """A scheduler. Its methods raise SubmissionError."""

    file_ending: str

    @property
    def address(self) -> str:
        """What a record must keep so that the job can be reached from elsewhere."""

    def problems(self, request: Request) -> Iterator[tuple[str, str]]:
        """(option, what is wrong with it), as far as this machine can tell; asks the scheduler, changes nothing."""

    def remarks(self, request: Request) -> Iterator[str]:
        """What could not be checked here, and what the user may have forgotten."""

    def text(self, request: Request) -> str:
        """The script or manifest."""

    def submit(self, file: Path, request: Request) -> str:
        """Hand the written file over; the job's id, as the scheduler calls it."""

    def jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """How each of these jobs stands, by its id."""

    def cancel(self, id: str) -> None:
        """End a job: its launch gets a signal first, and keeps what it has."""

    def log(self, id: str) -> str | None:
        """What the job has printed; None where it is in the submission's own log file."""
