"""The client of Ray Jobs."""

from typing import Any


def job_client(address: str) -> Any:
    """A `JobSubmissionClient` of a cluster's dashboard. Raises what Ray raises where nobody answers."""
    from ray.job_submission import JobSubmissionClient  # a second of imports

    return JobSubmissionClient(address)
