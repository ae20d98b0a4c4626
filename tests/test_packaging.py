"""The wheel, installed outside the checkout, in a directory that has packages of the same names."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
WEIGHTS_LIMIT = 15 * 2**20
"""Of the built-in domains: 10 for `avatars` with its judge and segmenter, 5 for `avatars_ldm`."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(ROOT)], check=True, cwd=out)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_spaces_domains_weights_and_templates(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    for wanted in (
        "search_spaces/encoder.yaml",
        "search_spaces/space.schema.json",
        "trainables/h_space/domains/celebahq.yaml",
        "trainables/h_space/domains/avatars/domain.yaml",
        "trainables/h_space/domains/avatars/weights/unet/diffusion_pytorch_model.safetensors",
        "trainables/h_space/domains/avatars/weights/clip/open_clip_model.safetensors",
        "trainables/h_space/segmenters/avatars.safetensors",
        "analysis/page/page.html.j2",
        "analysis/page/static/report.js",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_weights_stay_small(wheel: Path) -> None:
    weights = [info for info in zipfile.ZipFile(wheel).infolist() if info.filename.endswith(".safetensors")]

    assert sum(info.file_size for info in weights) <= WEIGHTS_LIMIT


SPACE = """
extends: encoder
axes: {encoder: {path: editor.kind, values: [pixel_channel, conv]}}
claims: []
figures: [{kind: effects}]
seeds: 1
baseline:
  training: {num_images: 4, epochs: 1, num_train_steps: 4}
  evaluation: {num_images: 2, num_sample_steps: 4, num_preview_images: 1}
"""
"""Two trials on the shipped domain, with its weights: enough to see every package at work."""


@pytest.mark.slow
def test_the_installed_wheel_runs_among_packages_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    """A user's project may hold an analysis/ of its own: Ray would put it first on the workers' path."""
    site, project = tmp_path / "site", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(site)
    for name in ("analysis", "orchestrator", "trainables", "search_spaces"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise RuntimeError('the wrong package was imported')\n")
    (project / "small.yaml").write_text(SPACE, encoding="utf-8")
    program = "import sys; from orchestrator.cli.parser import main; sys.exit(main(sys.argv[1:]))"
    # -P leaves the working directory out of the path, as the installed command does.
    command = [sys.executable, "-P", "-c", program, "run", "small.yaml", "--cpus", "1", "--no-price"]

    ended = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (project / "results" / "small" / "report" / "report.html").is_file()
    for noise in ("(raylet)", "WARNING"):
        assert noise not in ended.stdout + ended.stderr


def test_pinned_versions_install_on_every_python_3_11() -> None:
    """Of those that are installed here: a machine with Debian's 3.11.2 refused one that asked for 3.11.5."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found = {
        found.name.lower().replace("_", "-"): found.metadata["Requires-Python"] for found in distributions()
    }
    asked = {pin.name: found.get(pin.name.lower().replace("_", "-")) for pin in pins}

    assert sum(wanted is not None for wanted in asked.values()) > 50
    assert not [name for name, wanted in asked.items() if wanted and "3.11.0" not in SpecifierSet(wanted)]
