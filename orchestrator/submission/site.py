"""What a cluster's users need not say again: the YAML of a site.

on: slurm
slurm: {partition: gpu, account: my_lab, time: 4h, setup: [module load cuda/12.4]}
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from orchestrator.space.config import ConfigError, Problem
from trainables.errors import without_echoes
from trainables.paths import home
from trainables.settings import Settings
from trainables.wording import expected, validation_problems
from trainables.yaml_tree import dotted, read_yaml_file

VARIABLE = "ASYRP_SWEEP_SITE"
PlaceName = Literal["slurm", "ray-job", "kuberay"]


class SlurmSite(Settings):
    """How jobs are asked of Slurm."""

    partition: str | None = None
    """Slurm's own default where there is none."""
    account: str | None = None
    """Who pays."""
    time: str | None = None
    """Most time of a job, such as 4h; the partition's own limit where there is none."""
    nodes: int = Field(default=1, ge=1)
    """Machines."""
    cpus_per_node: int = Field(default=1, ge=1)
    """CPUs of each."""
    gpus_per_node: int = Field(default=0, ge=0)
    """GPUs of each."""
    setup: list[str] = Field(default_factory=list)
    """Lines of bash that come first, such as `module load cuda/12.4`."""
    container: str | None = None
    """What goes before `python`, such as `apptainer exec --nv /shared/sweep.sif`."""
    python: str | None = None
    """The Python that asyrp-sweep is installed in, on every node; this one where there is none."""
    scratch: str = "/tmp"
    """A short path on every node's own disk, for Ray's sockets and temporary files."""
    options: list[str] = Field(default_factory=list)
    """Further options of sbatch, such as `--constraint=a100`."""
    requeues: int = Field(default=20, ge=0)
    """How often a job that ran out of time, or had to make room, is put into the queue again."""


class RayJobSite(Settings):
    """Where jobs of a running Ray cluster are handed in."""

    address: str | None = None
    """Of the cluster's dashboard, such as http://head:8265; RAY_API_SERVER_ADDRESS where there is none."""


class KubeRaySite(Settings):
    """How KubeRay makes a cluster for a job."""

    image: str | None = None
    """The container image, with asyrp-sweep and ray[default] in it; see cluster/Dockerfile."""
    namespace: str = "default"
    """Where the job is made."""
    claim: str | None = None
    """A volume claim that many pods may write (ReadWriteMany), for the results."""
    mount: str = "/results"
    """Where the claim is seen in the pods."""
    nodes: int = Field(default=1, ge=1)
    """Most worker pods at once."""
    cpus_per_node: int = Field(default=4, ge=1)
    """CPUs of each."""
    gpus_per_node: int = Field(default=0, ge=0)
    """GPUs of each, as `nvidia.com/gpu`."""
    memory: str = "16Gi"
    """Memory of each pod."""
    time: str | None = None
    """Most time of the job, such as 4h."""
    retries: int = Field(default=2, ge=0)
    """How often KubeRay tries again, each time with a new cluster; what is done stays done."""


class Site(Settings):
    """Defaults of `submit`; options of the command line come before them."""

    on: PlaceName | None = None
    """Where to, when `--on` does not say."""
    slurm: SlurmSite = SlurmSite()
    """For `--on slurm`."""
    ray_job: RayJobSite = RayJobSite()
    """For `--on ray-job`."""
    kuberay: KubeRaySite = KubeRaySite()
    """For `--on kuberay`."""


def default_file() -> Path | None:
    """The file of `ASYRP_SWEEP_SITE`, or the user's own; None where there is none."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    own = home() / ".config" / "asyrp-sweep" / "site.yaml"
    return own if own.is_file() else None


def read_site(file: Path | None) -> Site:
    """The site of a file, or of the default one. Raises ConfigError with everything wrong with it."""
    path = file or default_file()
    if path is None:
        return Site()
    try:
        tree = read_yaml_file(path)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
    problems = [Problem(str(path), *found) for found in tree.problems]
    content = {} if tree.content is None else tree.content
    if not isinstance(content, dict):
        raise ConfigError(problems or [Problem(str(path), 1, "", expected("a mapping", content))])
    try:
        site = Site.model_validate(content)
    except ValidationError as error:
        found = [
            Problem(str(path), tree.line_of(place), dotted(place), message)
            for place, message in validation_problems(error, Site, content)
        ]
        raise ConfigError([*problems, *without_echoes(found, problems)]) from error
    if problems:
        raise ConfigError(problems)
    return site
