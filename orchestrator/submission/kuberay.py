"""Kubernetes: a RayJob, for which KubeRay makes a cluster that ends with the launch."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestrator.submission.commands_of_others import is_here, output_of
from orchestrator.submission.request import Job, Request
from orchestrator.submission.site import KubeRaySite
from trainables.wording import expected
from trainables.yaml_tree import write_yaml

_ENDED = {"Complete", "Failed", "Suspended"}
_QUANTITY = re.compile(r"\d+(\.\d+)?([KMGTP]i?)?")
"""Of memory, as Kubernetes writes it."""


@dataclass(frozen=True)
class KubeRay:
    """Jobs by kubectl."""

    site: KubeRaySite

    file_ending = ".yaml"

    @property
    def address(self) -> str:
        """The namespace."""
        return self.site.namespace

    def problems(self, request: Request) -> Iterator[tuple[str, str]]:
        """What the cluster would refuse, or accept and never start."""
        if self.site.image is None:
            yield (
                "kuberay.image",
                "expected a container image, in the site's file; cluster/Dockerfile makes one",
            )
        if self.site.claim is None and request.url is None:
            yield "kuberay.claim", "expected a volume claim that many pods may write, in the site's file"
        if not _QUANTITY.fullmatch(self.site.memory):
            yield "kuberay.memory", expected("a quantity such as 16Gi", self.site.memory)

    def remarks(self, request: Request) -> Iterator[str]:
        """What the pods must bring, and that nothing was asked of the cluster where kubectl is not here."""
        if request.url is not None:
            yield f"the image, or the pods' service account, must bring what it takes to write to {request.url}"
        if not is_here("kubectl"):
            yield "there is no kubectl on this machine: the cluster was not asked about image, claim and namespace"

    def text(self, request: Request) -> str:
        """The manifest."""
        return f"# {request.said}\n{write_yaml(self._manifest(request), is_flow=False)}"

    def submit(self, file: Path, request: Request) -> str:
        """By kubectl; the manifest's name is the id."""
        output_of("kubectl", "create", "-f", str(file), what="nothing was submitted")
        return _resource_name(request)

    def jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """Each by itself."""
        return {id: self._job(id) for id in ids}

    def _job(self, id: str) -> Job:
        """As KubeRay tells it."""
        if not is_here("kubectl"):
            return Job(id, "", is_active=False)
        state = self._kubectl(
            "get", "rayjob", id, "--ignore-not-found", "-o", "jsonpath={.status.jobDeploymentStatus}"
        )
        # KubeRay has said nothing yet of one that is new.
        is_there = bool(self._kubectl("get", "rayjob", id, "--ignore-not-found", "-o", "name").strip())
        return Job(id, state.strip(), is_active=is_there and state.strip() not in _ENDED)

    def cancel(self, id: str) -> None:
        """Delete the job, and its cluster with it."""
        self._kubectl("delete", "rayjob", id)

    def log(self, id: str) -> str | None:
        """Of the pod that submits."""
        return self._kubectl("logs", f"job/{id}")

    def _kubectl(self, *arguments: str) -> str:
        return output_of("kubectl", "-n", self.site.namespace, *arguments, what=f"kubectl {arguments[0]}")

    def _manifest(self, request: Request) -> dict[str, Any]:
        # Fields: ray-operator/config/crd/bases/ray.io_rayjobs.yaml of KubeRay 1.x.
        site = self.site
        return {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": {"name": _resource_name(request), "namespace": site.namespace},
            "spec": {
                "entrypoint": shlex.join(["asyrp-sweep", *request.launch, "--address", "auto"]),
                "shutdownAfterJobFinishes": True,
                "ttlSecondsAfterFinished": 300,
                "backoffLimit": site.retries,
                **({} if request.seconds is None else {"activeDeadlineSeconds": int(request.seconds)}),
                "rayClusterSpec": {
                    "rayVersion": version("ray"),
                    "enableInTreeAutoscaling": True,
                    "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 60},
                    "headGroupSpec": {
                        # The head runs the launch, and no trial.
                        "rayStartParams": {"num-cpus": "0"},
                        "template": self._pod("head", cpus=1, gpus=0),
                    },
                    "workerGroupSpecs": [
                        {
                            "groupName": "workers",
                            "minReplicas": 0,
                            "maxReplicas": site.nodes,
                            "rayStartParams": {},
                            "template": self._pod("worker", site.cpus_per_node, site.gpus_per_node),
                        }
                    ],
                },
            },
        }

    def _pod(self, name: str, cpus: int, gpus: int) -> dict[str, Any]:
        room = {"cpu": str(cpus), "memory": self.site.memory}
        if gpus:
            room["nvidia.com/gpu"] = str(gpus)
        # Volume -> (where it is, what it is).
        volumes: dict[str, tuple[str, dict[str, Any]]] = {
            "shared-memory": ("/dev/shm", {"emptyDir": {"medium": "Memory"}})
        }
        if self.site.claim is not None:
            claim = {"persistentVolumeClaim": {"claimName": self.site.claim}}
            volumes = {"results": (self.site.mount, claim), **volumes}
        return {
            "spec": {
                "containers": [
                    {
                        "name": name,
                        "image": self.site.image,
                        "resources": {"limits": room, "requests": dict(room)},
                        "volumeMounts": [
                            {"name": volume, "mountPath": path} for volume, (path, _) in volumes.items()
                        ],
                    }
                ],
                "volumes": [{"name": volume, **source} for volume, (_, source) in volumes.items()],
            }
        }


def _resource_name(request: Request) -> str:
    """A name that Kubernetes takes: lower-case letters, digits and dashes, at most 40 of them."""
    plain = re.sub("[^a-z0-9]+", "-", request.study.lower()).strip("-") or "study"
    return f"{plain[:36].rstrip('-')}-{request.name}"
