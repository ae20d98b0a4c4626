"""Published checkpoints become our editors and answer as the published code does."""

import json
import random
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.h_space.editor_file import EditorFileError
from trainables.h_space.editors_import import import_editor, import_state

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")

ENCODERS = {
    "conv": "conv",
    "p": "pixel",
    "c": "channel",
    "pc": "pixel_channel",
    "cp": "channel_pixel",
}
TEMPORALS = {"add": "add", "mult": "multiply", "adagn": "adaptive_group_norm"}
RECORDED = (
    "conv_h1_add",
    "conv_h1_mult",
    "conv_h1_adagn",
    "p_h1_add",
    "c_h1_add",
    "pc_h1_add",
    "cp_h1_add",
    "pc_h8_add",
    "pc_h4_adagn",
    "cp_h2_mult",
)
CHECKPOINTS = {
    "official_ddpm_smiling": ("smiling_ddpm_celebahq.pth", "conv"),
    "official_iddpm_dog_happy": ("dog_happy_iddpm_afhq.pth", "conv_prenorm"),
}


def filled(name: str) -> dict[str, torch.Tensor]:
    """The recorded editor's weights, by the rule of the data's read-me."""
    shapes = json.loads((DATA / "oracle" / "editors_keys.json").read_text())[name]
    state = {}
    for key, shape in shapes.items():
        offset = zlib.crc32(key.encode()) % 1000
        value = 0.05 * np.sin(0.7 * np.arange(np.prod(shape), dtype=np.float64) + offset)
        if len(shape) == 1 and key.endswith("weight"):
            value += 1
        state[key] = torch.from_numpy(value.astype(np.float32).reshape(shape))
    return state


def given_for(name: str) -> dict[str, Any]:
    encoder, heads, temporal = name.split("_")
    given: dict[str, Any] = {"kind": ENCODERS[encoder], "temporal": TEMPORALS[temporal]}
    return given if encoder == "conv" else {**given, "num_heads": int(heads.removeprefix("h"))}


def assert_answers_as_recorded(editor: torch.nn.Module, name: str) -> None:
    """Within 1e-5 of the output's standard deviation (root mean square; float32 itself peaks above)."""
    recorded = np.load(DATA / "oracle" / "editors.npz")
    expected = torch.from_numpy(recorded[f"delta_h/{name}"])
    with torch.no_grad():
        ours = editor(torch.from_numpy(recorded["h"]), torch.from_numpy(recorded["temb"]), 999)[:1]
    relative = (ours - expected) / expected.std()
    assert relative.square().mean().sqrt() < 1e-5
    assert relative.abs().max() < 3e-5


@needs_data
@pytest.mark.parametrize("name", RECORDED)
def test_every_published_variant_answers_as_the_published_code(name: str) -> None:
    imported = import_state(filled(name), **given_for(name))

    assert_answers_as_recorded(imported.editor, name)


@needs_data
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_released_checkpoints_answer_as_the_published_code(name: str) -> None:
    file, kind = CHECKPOINTS[name]

    imported = import_editor(DATA / "official_checkpoints" / file)

    assert imported.settings.kind == kind
    assert imported.shape == (512, 8, 8, 512)
    assert imported.assumed == ("temporal add", "norm group", "activation silu")
    assert_answers_as_recorded(imported.editor, name)


@needs_data
def test_weights_the_published_editor_never_used_are_dropped() -> None:
    imported = import_state(filled("conv_h1_adagn"))

    assert imported.settings.temporal == "adaptive_group_norm"
    assert imported.dropped == ("temb_proj.weight", "temb_proj.bias", "norm2.weight", "norm2.bias")
    assert imported.assumed == ("activation silu",)


@needs_data
def test_what_weights_tell_is_read_from_them() -> None:
    imported = import_state(filled("c_h1_add"), num_heads=2)

    told = imported.settings.model_dump()
    assert told["kind"] == "channel"
    assert (told["num_heads"], told["num_layers"], told["feedforward_width"]) == (2, 1, 2048)
    assert told["final_norm"] is True


@needs_data
@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("p_h1_add", {}, "num_heads must be given"),
        ("pc_h1_add", {"num_heads": 1}, "kind must be given"),
        ("pc_h1_add", {}, "kind and num_heads must be given"),
        ("conv_h1_add", {"kind": "pixel"}, "kind was given as pixel; by its weights it is conv"),
        ("conv_h1_adagn", {"temporal": "add"}, "by its weights it is adaptive_group_norm"),
        ("pc_h1_add", {"kind": "conv"}, r"num_heads must be given"),
        ("pc_h1_add", {"kind": "pixel", "num_heads": 1}, "has no place in editor pixel"),
        ("pc_h1_add", {"kind": "midblock", "num_heads": 1}, "kind midblock is none of these weights'"),
        ("p_h1_add", {"num_heads": 3}, "num_heads 3 does not divide the width 512"),
        (
            "c_h1_add",
            {"num_heads": 1, "size": (4, 4)},
            r"linear1.weight is \[2048, 64\], expected \[2048, 16\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(EditorFileError, match=message):
        import_state(filled(name), **given)


def test_other_weights_are_refused() -> None:
    with pytest.raises(EditorFileError, match="no time projection among the weights"):
        import_state({"layer.weight": torch.zeros(2, 2)})
    with pytest.raises(EditorFileError, match="neither convolutions nor encoders"):
        import_state({"temb_proj.weight": torch.zeros(2, 2)})


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.pth", tmp_path / "empty.pth"
    text.write_text("not weights")
    torch.save({"optimizer": {}}, empty)

    with pytest.raises(EditorFileError, match=r"text.pth cannot be read"):
        import_editor(text)
    with pytest.raises(EditorFileError, match=r"empty.pth must hold one editor, under its number; found 0"):
        import_editor(empty)
    with pytest.raises(EditorFileError, match=r"absent.pth cannot be read"):
        import_editor(tmp_path / "absent.pth")


def test_an_altered_checkpoint_is_named_whatever_torch_makes_of_it(tmp_path: Path) -> None:
    path, moments = tmp_path / "altered.pth", random.Random(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a pickle's protocol, which is altered too.
        for is_zip in (True, False):
            torch.save(
                {0: {"temb_proj.weight": torch.zeros(4, 4)}}, path, _use_new_zipfile_serialization=is_zip
            )
            content = path.read_bytes()
            for _ in range(100):
                altered = bytearray(content[: moments.randrange(len(content))])
                altered += content[len(altered) :] if moments.random() < 0.8 else b""
                altered[moments.randrange(len(altered) or 1) :][:1] = b"\xff"
                path.write_bytes(altered)
                with pytest.raises(EditorFileError, match=r"altered\.pth"):
                    import_editor(path)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (3, "temb_proj.weight is no weight"),
        (torch.zeros(4), "no time projection among the weights"),
        (torch.zeros(4, 4, dtype=torch.int64), "temb_proj.weight is no weight"),
        (torch.zeros(4, 4).to_sparse(), "temb_proj.weight is no weight"),
        (torch.full((4, 4), torch.nan), "temb_proj.weight holds numbers that are not finite"),
    ],
)
def test_what_is_no_weight_is_named(weight: object, message: str, tmp_path: Path) -> None:
    torch.save({0: {"temb_proj.weight": weight}}, tmp_path / "odd.pth")

    with pytest.raises(EditorFileError, match=rf"odd\.pth: {message}"):
        import_editor(tmp_path / "odd.pth")


class Payload:
    """Something only an unsafe loader would run."""


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "payload.pth"
    torch.save({0: Payload()}, path)

    with pytest.raises(
        EditorFileError, match=r"payload.pth cannot be read .* not loaded because they can run code"
    ) as told:
        import_editor(path)
    assert "weights_only" not in str(told.value)
