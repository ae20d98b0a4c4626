"""The schedulers, by name."""

from orchestrator.submission.kuberay import KubeRay
from orchestrator.submission.ray_job import RayJob
from orchestrator.submission.record import Submission
from orchestrator.submission.request import Place
from orchestrator.submission.site import PlaceName, Site
from orchestrator.submission.slurm import Slurm


def place(name: PlaceName, site: Site) -> Place:
    """Where jobs go, with the site's settings."""
    match name:
        case "slurm":
            return Slurm(site.slurm)
        case "ray-job":
            return RayJob(site.ray_job)
        case "kuberay":
            return KubeRay(site.kuberay)


def place_of(submission: Submission) -> Place:
    """Where a job went: what it takes to reach it is in its record, so that it needs no file of the site."""
    site = Site()
    ray_job = site.ray_job.model_copy(update={"address": submission.address})
    kuberay = site.kuberay.model_copy(update={"namespace": submission.address})
    return place(submission.on, site.model_copy(update={"ray_job": ray_job, "kuberay": kuberay}))
