"""The files of `cluster/`: what `submit` writes today, and what the programs that read them accept."""

import json
import subprocess
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from orchestrator.submission.places import place
from orchestrator.submission.request import Request
from orchestrator.submission.site import PlaceName, read_site

CLUSTER = Path(__file__).parents[2] / "cluster"


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


def test_the_image_gets_every_package() -> None:
    copied = (CLUSTER / "Dockerfile").read_text()
    packages = [
        path.parent.name for path in CLUSTER.parent.glob("*/__init__.py") if path.parent.name != "tests"
    ]

    assert packages
    assert [name for name in packages if f"COPY {name} {name}\n" not in copied] == []
