"""Ray Jobs: the launch becomes a job of a cluster that runs already, and outlives this terminal."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.execution.ray.cluster import job_client
from orchestrator.submission.request import COMMAND_VARIABLE, Job, Request, SubmissionError
from orchestrator.submission.site import RayJobSite

_ACTIVE = {"PENDING", "RUNNING"}


@dataclass(frozen=True)
class RayJob:
    """Jobs by the client of Ray's dashboard."""

    site: RayJobSite

    file_ending = ".txt"

    @property
    def address(self) -> str:
        """Of the dashboard; empty where nobody said it."""
        return self.site.address or os.environ.get("RAY_API_SERVER_ADDRESS", "")

    def problems(self, request: Request) -> Iterator[tuple[str, str]]:
        """Of the address alone; whether somebody answers there is found out by asking."""
        if not self.address.startswith(("http://", "https://")):
            found = f"found {self.address}" if self.address else "found none"
            yield (
                "ray_job.address",
                "expected the address of the cluster's dashboard, such as http://head:8265, in the site's file or in "
                f"RAY_API_SERVER_ADDRESS; {found}",
            )

    def remarks(self, request: Request) -> Iterator[str]:
        """Where the driver of such a job runs."""
        yield "the launch itself runs on the cluster's head, where it needs about 1.5 GB of memory"
        if request.seconds is not None:
            yield "Ray ends no job by its time: the launch watches it itself"

    def text(self, request: Request) -> str:
        """The command that the cluster's head runs."""
        command = shlex.join(["python", "-m", "orchestrator.cli", *request.launch, "--address", "auto"])
        return f"{command}\n"

    def submit(self, file: Path, request: Request) -> str:
        """With an id that tells the study; nothing travels but the command."""
        with _saying("nothing was submitted"):
            id: str = job_client(self.address).submit_job(
                entrypoint=file.read_text(encoding="utf-8").strip(),
                submission_id=f"{request.study}-{request.name}-{os.urandom(3).hex()}",
                runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "30", COMMAND_VARIABLE: request.said}},
            )
            return id

    def jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """Each by itself."""
        return {id: self._job(id) for id in ids}

    def _job(self, id: str) -> Job:
        """As the dashboard tells it."""
        with _saying("the job's state is unknown"):
            state = str(job_client(self.address).get_job_status(id).value)
        return Job(id, state, is_active=state in _ACTIVE)

    def cancel(self, id: str) -> None:
        """TERM to the launch."""
        with _saying(f"job {id} was not cancelled"):
            job_client(self.address).stop_job(id)

    def log(self, id: str) -> str | None:
        """From the dashboard, which keeps it after the job's end."""
        with _saying("the log cannot be read"):
            text: str = job_client(self.address).get_job_logs(id)
        return text


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Raise SubmissionError for whatever the client raises: RuntimeError, ConnectionError, ImportError."""
    try:
        yield
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        raise SubmissionError(f"{what}: {first[0] if first else type(error).__name__}") from error
