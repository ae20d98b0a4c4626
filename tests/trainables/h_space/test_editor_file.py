"""An editor file holds the complete configuration, and loading believes nothing it cannot check."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.config import CellConfig
from trainables.h_space.editor_file import HEADER, EditorFileError, load_editor, save_editor

SHAPE = BottleneckShape(32, 4, 4, 16)
TIMESTEPS = (999, 800, 600)


def saved(path: Path, **editor: Any) -> torch.nn.Module:
    cell = {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "pixel_channel", **editor}}
    config = CellConfig.model_validate(cell)
    module = config.editor.build(SHAPE, torch.Generator().manual_seed(0), TIMESTEPS)
    save_editor(path, module, config, SHAPE, TIMESTEPS, {"seed": "7", "domain_fingerprint": "abc"})
    return module


def rewrite(path: Path, drop: str | None = None, **metadata: str) -> None:
    """Change a file's header, or leave a weight out."""
    header = {
        "format": "asyrp-sweep editor",
        "format_version": "2",
        "config": json.dumps(
            {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "pixel_channel"}}
        ),
        "shape": json.dumps(SHAPE._asdict()),
        "timesteps": json.dumps(TIMESTEPS),
        "extra": "{}",
    }
    weights = load_file(path)
    if drop is not None:
        del weights[drop]
    save_file(weights, path, metadata={HEADER: json.dumps({**header, **metadata})})


def test_an_editor_comes_back_with_everything_it_was_trained_with(tmp_path: Path) -> None:
    path = tmp_path / "editors" / "a.safetensors"
    module = saved(path, num_heads=2, activation="gelu")

    settings, editor, metadata = load_editor(path)

    assert settings.model_dump()["num_heads"] == 2
    assert metadata.config.attribute == "smiling"
    assert metadata.config.training.t_edit == 500
    assert metadata.shape == SHAPE
    assert metadata.timesteps == TIMESTEPS
    assert metadata.extra == {"seed": "7", "domain_fingerprint": "abc"}
    for name, value in module.state_dict().items():
        assert torch.equal(editor.state_dict()[name], value)
    assert all(parameter.requires_grad for parameter in editor.parameters())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "temporal.proj.bias"}, r"editor pixel_channel: temporal.proj.bias is missing"),
        (
            {
                "config": json.dumps(
                    {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "conv", "num_heads": 2}}
                )
            },
            "its configuration cannot be read",
        ),
        (
            {
                "config": json.dumps(
                    {"domain": "avatars", "attribute": "smiling", "editor": {"kind": "pixel"}}
                )
            },
            r"do not fit editor pixel: in_layer.channel.*belongs to no part of it.* and \d+ more",
        ),
        (
            {"shape": json.dumps({**SHAPE._asdict(), "temb_width": 8})},
            r"temporal.proj.weight is \[32, 16\], expected \[32, 8\]",
        ),
        ({"shape": json.dumps({"channels": 32})}, "its configuration cannot be read"),
        ({"shape": json.dumps({**SHAPE._asdict(), "channels": 48})}, "does not divide the 48 channels"),
        ({"format_version": "1"}, "is not an asyrp-sweep editor of version 2"),
        ({"format": "weights"}, "is not an asyrp-sweep editor of version 2"),
    ],
)
def test_weights_and_configuration_that_disagree_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.safetensors"
    saved(path)
    rewrite(path, **change)

    with pytest.raises(EditorFileError, match=message) as caught:
        load_editor(path)
    assert str(path) in str(caught.value)


def test_a_damaged_or_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    saved(path)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(EditorFileError, match=r"a.safetensors cannot be read as safetensors"):
        load_editor(path)
    with pytest.raises(EditorFileError, match=r"b.safetensors cannot be read as safetensors"):
        load_editor(tmp_path / "b.safetensors")
