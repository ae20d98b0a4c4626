"""Editors go out in the public layout and come back the same; what it cannot hold is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from random_domains import prepare, small_config, write_domain, write_pixel_model

from orchestrator.cli import parser as cli
from trainables.h_space.backbones.bottleneck import bottleneck_shape
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.backbones.structure import PUBLISHED
from trainables.h_space.config import CellConfig
from trainables.h_space.editor_file import load_editor, save_editor
from trainables.h_space.editors_import import IMPORTABLE, import_editor
from trainables.h_space.trial import Trial

DATA = Path(__file__).parents[4] / "shared" / "data" / "official_checkpoints"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
SHAPE = BottleneckShape(64, 4, 4, 24)
SETTINGS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in IMPORTABLE),
    {"kind": "conv", "temporal": "multiply", "norm": "instance", "activation": "relu"},
    {"kind": "conv", "temporal": "none"},
    {"kind": "pixel", "norm": "none"},
    {"kind": "channel_pixel", "temporal": "adaptive_group_norm", "num_layers": 2},
]

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command: its exit code, and what it printed, on one line."""

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main([*arguments])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def saved(folder: Path, settings: dict[str, Any], shape: BottleneckShape = SHAPE) -> Path:
    config = CellConfig.model_validate({"domain": "avatars", "attribute": "smiling", "editor": settings})
    editor = config.editor.build(shape, torch.Generator().manual_seed(0), (999,))
    save_editor(folder / "editor.safetensors", editor, config, shape, (999,), {})
    return folder / "editor.safetensors"


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_exported_editor_is_read_again_as_it_was(
    settings: dict[str, Any], tmp_path: Path, command: Command
) -> None:
    file = saved(tmp_path, settings)

    code, output = command("export-editor", str(file))

    assert code == 0, output
    said = output.split("when it is read again: ")[1].split(" note:")[0].split()
    given = dict(zip(said[::2], said[1::2], strict=True))
    options: dict[str, Any] = {
        name.removeprefix("--").replace("-", "_"): int(value) if value.isdigit() else value
        for name, value in given.items()
        if name != "--attribute"
    }
    before, after = load_editor(file), import_editor(file.with_suffix(".pth"), size=(4, 4), **options)
    assert after.settings.canonical() == before.settings.canonical()
    h, temb = torch.randn(2, 64, 4, 4), torch.randn(2, 24)
    assert torch.equal(after.editor(h, temb, 999), before.editor(h, temb, 999))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "direct"}, "editor of kind direct has no place in the public layout"),
        (
            {"kind": "conv", "num_groups": 8},
            "num_groups 8 has no place in the public layout, whose editors have 32",
        ),
        ({"kind": "conv", "activation": "swiglu"}, "weight activation.proj.weight has no place"),
        ({"kind": "pixel", "dropout": 0.1}, "dropout 0.1 has no place in the public layout"),
    ],
)
def test_what_the_public_layout_cannot_hold_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path, command: Command
) -> None:
    code, output = command("export-editor", str(saved(tmp_path, settings)))

    assert code == 2
    assert message in output
    assert not (tmp_path / "editor.pth").exists()


@needs_data
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("smiling_ddpm_celebahq.pth", "DDPM (CelebA-HQ or LSUN at 256 pixels)"),
        ("dog_happy_iddpm_afhq.pth", "P2 weighting (AFHQ-dog, FFHQ, MetFaces)"),
    ],
)
def test_a_released_editor_fits_its_own_backbone_and_goes_out_as_it_came(
    name: str, published: str, tmp_path: Path, command: Command
) -> None:
    (structure,) = (one for one, known in PUBLISHED.items() if known.name == published)
    editor = tmp_path / "editor.safetensors"
    imported = import_editor(DATA / name)

    code, output = command("import-editor", str(DATA / name), "--attribute", "smiling", "--out", str(editor))
    assert code == 0, output
    code, output = command("export-editor", str(editor))

    assert code == 0, output
    assert imported.shape == bottleneck_shape(
        {
            **structure.config(256),
            "class_embed_type": None,
            "num_class_embeds": None,
            "time_embedding_dim": None,
        }
    )
    before, after = (
        torch.load(path, map_location="cpu", weights_only=True)["0"]
        for path in (DATA / name, editor.with_suffix(".pth"))
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_released_editor_is_a_parent_and_its_child_goes_out_too(tmp_path: Path, command: Command) -> None:
    """Kinds and shapes as in the released file of an improved-DDPM backbone, made small."""
    write_pixel_model(
        tmp_path,
        unet={
            "out_channels": 6,
            "block_out_channels": (8, 32),
            "resnet_time_scale_shift": "scale_shift",
            "attn_norm_num_groups": 4,
        },
    )
    domain = write_domain(tmp_path)
    released = {
        "in_layers.0.weight": torch.ones(32),
        "in_layers.2.weight": 0.1 * torch.randn(32, 32, 1, 1),
        "emb_layers.1.weight": 0.1 * torch.randn(32, 32),
        "out_layers.0.weight": torch.ones(32),
        "out_layers.3.weight": 0.1 * torch.randn(32, 32, 1, 1),
    }
    released |= {name.replace("weight", "bias"): torch.zeros(32) for name in released}
    torch.save({"0": released}, tmp_path / "parent.pth")
    imported = import_editor(tmp_path / "parent.pth", size=(16, 16))
    config = small_config(domain, epochs=1).model_copy(update={"editor": imported.settings})
    parent, child = tmp_path / "parent.safetensors", tmp_path / "child.safetensors"
    save_editor(parent, imported.editor, config, imported.shape, (999,), {})
    prepare(config, tmp_path / "cache")

    trial = Trial(config, 0, cache_dir=tmp_path / "cache", start_from=parent)
    started = {name: value.clone() for name, value in trial.editor.state_dict().items()}
    trial.step()
    trial.save_model(child)
    code, output = command("export-editor", str(child))

    assert code == 0, output
    assert all(torch.equal(value, imported.editor.state_dict()[name]) for name, value in started.items())
    again = import_editor(tmp_path / "child.pth", size=(16, 16)).editor.state_dict()
    trained = trial.editor.state_dict()
    assert all(torch.equal(again[name], trained[name]) for name in trained)
    assert any(not torch.equal(again[name], started[name]) for name in trained)
