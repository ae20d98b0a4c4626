"""How trials are run: the `execution` block of a space."""

from typing import Annotated

from pydantic import Field

from orchestrator.space.units import bytes_of, written
from trainables.settings import Settings


class ExecutionConfig(Settings):
    """How trials are run, never what they compute: no signature covers this block."""

    cpus_per_trial: int = Field(default=1, ge=1)
    """CPUs that a trial reserves; how many run at once follows from it."""
    gpus_per_trial: float = Field(default=0, ge=0)
    """Fractions share a device."""
    threads_per_trial: int = Field(default=1, ge=1)
    """Threads that a trial computes with."""
    deterministic: bool = True
    """Whether a GPU may use only algorithms that give the same bits every time; a CPU gives them anyway."""
    max_retries: int = Field(default=2, ge=0)
    """How often a trial whose worker was lost starts again, from its last checkpoint."""
    wait_minutes: float = Field(default=15, ge=0)
    """How long to wait until a cluster that was joined has a machine with room for a trial; 0 refuses at once."""
    checkpoint_quota: Annotated[str | int, written(bytes_of)] | None = None
    """What the checkpoints of the study's unfinished trials may take on disk, such as `500MB`, `2GiB` or a number of
    bytes; beyond it the least advanced are dropped, and their trials start afresh should they be interrupted."""
    compacts_ledger: bool = True
    """Whether the small files of committed trials are merged, 256 trials at a time, while a launch goes on."""

    @property
    def checkpoint_bytes(self) -> int | None:
        """The quota in bytes; None where there is none."""
        return None if self.checkpoint_quota is None else bytes_of(self.checkpoint_quota)
