"""Every input of a trial, changed in turn, is noticed: by its content, and not by its name or place.

Settings are changed in turn in `tests/orchestrator/test_plan.py`, lines of source code in
`tests/trainables/test_source_code.py`.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from orchestrator.plan.identity import Identity
from trainables.families import family_of_source
from trainables.family import Family
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary, summary
from trainables.h_space.domains.avatars import drawing, faces, masks
from trainables.h_space.domains.images import drawn_digest
from trainables.h_space.family import FAMILY

WEIGHTS = Path(str(files("trainables.h_space.domains"))) / "avatars" / "weights"
PHOTOGRAPHS = """
name: mine
diffusion: weights
clip: {folder: weights/clip}
clip_eval: {model: ViT-B-32, pretrained: ./second.pt}
images: {kind: folder, folder: pictures}
segmenter: avatars
judge: avatars
inception: inception.pth
lpips: lpips.pth
identity: {file: who.onnx}
"""


def flip(path: Path) -> None:
    """Change the last bit of a file: one weight, or one pixel."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def paint(path: Path) -> None:
    """Change one pixel of a picture, whose file stays as large as it was."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture).copy()
    pixels[3, 4, 0] ^= 1
    Image.fromarray(pixels).save(path)


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """A domain of photographs with everything that one can name."""
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    for name in ("second.pt", "inception.pth", "lpips.pth", "who.onnx"):
        (tmp_path / name).write_bytes(b"weights")
    for split in ("train", "test"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        for number in range(2):
            pixels = np.full((8, 8, 3), 100 + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / split / f"{number}.bmp")
    (tmp_path / "pictures" / "labels.csv").write_text("image_id,emotion\ntrain/0.bmp,smiling\n")
    (tmp_path / "groups.csv").write_text("image_id,team\ntest/0.bmp,a\n\n")
    path = tmp_path / "mine.yaml"
    path.write_text(PHOTOGRAPHS)
    return path


def cell(domain: Path | str, **evaluation: Any) -> CellConfig:
    content = {
        "domain": str(domain),
        "attribute": "smiling",
        "editor": {"kind": "conv"},
        "evaluation": evaluation,
    }
    return CellConfig.model_validate(content)


def signature(config: CellConfig) -> str:
    domain_summary.cache_clear()
    return Identity(FAMILY, config).signature(0, parent=None)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a pixel of a training photograph": lambda folder: paint(folder / "pictures" / "train" / "1.bmp"),
    "a pixel of a held-out photograph": lambda folder: paint(folder / "pictures" / "test" / "0.bmp"),
    "a photograph's name": lambda folder: (folder / "pictures/train/1.bmp").rename(
        folder / "pictures/train/2.bmp"
    ),
    "a label": lambda folder: (folder / "pictures/labels.csv").write_text(
        "image_id,emotion\ntrain/0.bmp,sad\n"
    ),
    "a subgroup": lambda folder: (folder / "groups.csv").write_text("image_id,team\ntest/0.bmp,b\n\n"),
    "a weight of the U-Net": lambda folder: flip(folder / "weights/unet/diffusion_pytorch_model.safetensors"),
    "the noise schedule": lambda folder: (folder / "weights/scheduler/scheduler_config.json").write_text(
        '{"beta_schedule": "scaled_linear"}'
    ),
    "a weight of the CLIP": lambda folder: flip(folder / "weights/clip/open_clip_model.safetensors"),
    "a weight of the second CLIP": lambda folder: flip(folder / "second.pt"),
    "a weight of Inception": lambda folder: flip(folder / "inception.pth"),
    "a weight of LPIPS": lambda folder: flip(folder / "lpips.pth"),
    "a weight of the network of identities": lambda folder: flip(folder / "who.onnx"),
    "what that network is shown": lambda folder: (folder / "mine.yaml").write_text(
        PHOTOGRAPHS.replace("who.onnx}", "who.onnx, size: 64}")
    ),
    "the templates": lambda folder: (folder / "mine.yaml").write_text(f"{PHOTOGRAPHS}templates: avatars\n"),
}


def test_what_a_domain_of_photographs_reads_is_noticed(
    domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = domain.parent
    monkeypatch.setattr(
        summary, "check_folder", lambda folder, **_: None
    )  # A bit of weights that changed is no file.
    config = cell(domain, subgroups=["team"], subgroup_file=str(folder / "groups.csv"))

    found = {"nothing": signature(config)}
    for name, change in CHANGES.items():
        change(folder)
        found[name] = signature(config)

    assert len(set(found.values())) == len(found) == len(CHANGES) + 1


def test_neither_place_nor_time_of_a_domain_is_noticed(domain: Path, tmp_path: Path) -> None:
    before = signature(cell(domain))

    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    shutil.copytree(domain.parent, moved)
    os.utime(moved / "pictures" / "train" / "0.bmp", (0, 0))

    assert signature(cell(moved / "mine.yaml")) == before


@pytest.mark.parametrize("what", ["segmenter", "judge"])
def test_a_weight_of_what_only_measures_is_noticed(
    what: Literal["segmenter", "judge"], domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signature(cell(domain))

    shutil.copytree(summary._MEASURING[what], tmp_path / what)
    monkeypatch.setitem(summary._MEASURING, what, tmp_path / what)
    assert signature(cell(domain)) == before
    flip(tmp_path / what / "avatars.safetensors")

    assert signature(cell(domain)) != before


def test_another_commit_of_a_model_on_the_hub_is_noticed(
    domain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain.write_text(PHOTOGRAPHS.replace("diffusion: weights", "diffusion: somebody/faces"))
    commits = iter(("first", "first", "second"))

    def fetched(repository: str, name: str) -> Path:
        if name != "config.json":
            return WEIGHTS / "scheduler" / "scheduler_config.json"
        path = tmp_path / "hub" / "snapshots" / next(commits) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(WEIGHTS / "unet" / name, path))

    monkeypatch.setattr(summary, "_file_of_hub", fetched)
    found = [signature(cell(domain)) for _ in range(3)]

    assert found[0] == found[1] != found[2]
    assert domain_summary(str(domain)).revision == "second"


@pytest.mark.parametrize(
    ("changed", "noticed"), [("smiling", True), ("sad", True), ("goblin", True), ("gogh", False)]
)
@pytest.mark.parametrize(
    "change",
    [{"source": "a face"}, {"target": "something else"}, {"redraw": MappingProxyType({"skin": "pale"})}],
)
def test_texts_of_attributes_are_noticed_where_they_are_measured(
    changed: str, noticed: bool, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attribute's own, those of its rivals, and those along which leakage is measured; no others."""
    before = signature(cell("avatars"))

    monkeypatch.setitem(ATTRIBUTES, changed, replace(ATTRIBUTES[changed], **change))

    assert (signature(cell("avatars")) != before) == noticed


RULES: dict[str, tuple[object, str, object]] = {
    "an unseen kind": (drawing, "KIND_SKIN_COLOURS", {**drawing.KIND_SKIN_COLOURS, "zombie": "#9db09b"}),
    "another style": (drawing, "_pixel_art", lambda small, size: drawing._to_bytes(small)),
    "held-out faces": (faces, "TEST_SEEDS", range(1_100_001, 1_200_000)),
    "what follows from a change": (faces, "_follow_gender", lambda face, gender: {}),
    "a part": (masks, "_SOLID", ("mouth",)),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_of_drawing_is_noticed(rule: str, drawn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])

    assert drawn_digest() != drawn


@pytest.fixture(scope="module")
def drawn() -> str:
    return drawn_digest()


USERS = """
from trainables.family import Family
from trainables.settings import Settings

class Config(Settings):
    width: int = 3

def train(config, seed, report):
    return {"score": config.width}

FAMILY = Family("mine", Config, train, metrics={"score": "higher is better"})
"""


def test_a_line_of_a_users_file_is_noticed_and_a_comment_is_not() -> None:
    def of(text: str) -> str:
        family: Family = family_of_source("mine.py", text)
        return Identity(family, family.Config()).signature(0, parent=None)

    assert of(USERS.replace("    return", '    """Doc."""\n    # Why.\n    return')) == of(USERS)
    assert of(USERS.replace("config.width}", "config.width + 1}")) != of(USERS)


def test_a_line_of_a_commands_script_is_noticed_and_a_comment_is_not(tmp_path: Path) -> None:
    from trainables.command.family import FAMILY as COMMAND

    def of(script: str, helper: str = "y = 1\n") -> str:
        (tmp_path / "train.py").write_text(script)
        (tmp_path / "helper.py").write_text(helper)
        content = {"command": "{python} train.py {seed}", "metrics": {"a": "higher is better"}}
        config = COMMAND.Config.model_validate_json(json.dumps({**content, "base_folder": str(tmp_path)}))
        return Identity(COMMAND, config).signature(0, parent=None)

    assert of("import helper  # as ever\n") == of("import helper\n")
    assert of("import helper\nx = 1\n") != of("import helper\n")
    assert of("import helper\n", "y = 2\n") != of("import helper\n")
