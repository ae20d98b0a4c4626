"""`import-editor`: released editors come in under their own file names, others with their texts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from orchestrator.cli import parser as cli
from trainables.h_space.editor_file import load_editor
from trainables.h_space.released_editors import released

RELEASED = {
    "CelebA_HQ": (
        *("angry", "curly_hair", "frida", "makeup", "man", "modigliani", "neanderthal", "nicolas", "pixar"),
        *("random_noise_man", "random_noise_woman", "sad", "smiling", "tanned", "woman", "young", "zombie"),
        "zombie_new",
    ),
    "bedroom": ("bedroom_hotel", "bedroom_princess"),
    "church_outdoor": (
        *("church_department_store", "church_factory", "church_gothic", "church_red_brick", "church_temple"),
        "church_wooden_church",
    ),
    "dog": ("dog_angry", "dog_happy", "dog_sleepy", "dog_wolf", "dog_yorkshire"),
    "metfaces": ("metface_angry", "metface_disgusted", "metface_sad", "metface_smiling"),
}
FILES = [(images, edit) for images, edits in RELEASED.items() for edit in edits]

Import = Callable[..., tuple[int, str]]


def file_name(edit: str, images: str) -> str:
    return f"{edit}_LC_{images}_t999_ninv40_ngen40_0.pth"


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str]) -> Import:
    """Run `import-editor`: its exit code, and what it printed, on one line."""

    def run(file: Path, *options: str) -> tuple[int, str]:
        code = cli.main(["import-editor", str(file), *options])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def layers(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights and biases of layers, by the shape of their weights."""
    state = {}
    for name, shape in shapes.items():
        state[f"{prefix}{name}.weight"] = torch.zeros(shape)
        state[f"{prefix}{name}.bias"] = torch.zeros(shape[0])
    return state


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """A file with random weights in the layout of a released one: of the DDPM, or of the improved DDPM."""

    def write(name: str, *, is_improved: bool = False, width: int = 32) -> Path:
        square, conv = (width, width), (width, width, 1, 1)
        if is_improved:
            state = layers("", {"in_layers.0": (width,), "in_layers.2": conv, "emb_layers.1": square})
            state |= layers("", {"out_layers.0": (width,), "out_layers.3": conv})
        else:
            state = layers("", {"conv1": conv, "temb_proj": square, "norm2": (width,), "conv2": conv})
        torch.save({0: state}, tmp_path / name)
        return tmp_path / name

    return write


def test_all_released_files_are_known() -> None:
    assert len(FILES) == 35


@pytest.mark.parametrize(("images", "edit"), FILES)
def test_every_released_file_comes_in_under_its_own_name(
    images: str, edit: str, checkpoint: Callable[..., Path], convert: Import
) -> None:
    file = checkpoint(file_name(edit, images), is_improved=images in ("dog", "metfaces"))

    code, output = convert(file)

    assert code == 0, output
    config = load_editor(file.with_suffix(".safetensors")).metadata.config
    assert config.attribute == edit
    assert config.edit.source
    assert config.edit.source != config.edit.target
    assert ("trained on" in output) == (images != "CelebA_HQ")
    assert config.editor.kind == ("conv_prenorm" if images in ("dog", "metfaces") else "conv")


@pytest.mark.parametrize(
    "name", ["smiling.pth", "LC_t999_ninv40_ngen40_0.pth", "a_LC_b_t1_ninv2_ngen3_0.safetensors"]
)
def test_other_file_names_say_nothing(name: str) -> None:
    assert released(name) is None


def test_texts_given_win_over_the_files_name(checkpoint: Callable[..., Path], convert: Import) -> None:
    file = checkpoint(file_name("dog_happy", "dog"))

    code, output = convert(file, "--attribute", "grin", "--source", "Dog", "--target", "Grinning Dog")

    assert code == 0, output
    assert "grin: from 'Dog' to 'Grinning Dog'" in output
    assert load_editor(file.with_suffix(".safetensors")).metadata.config.edit.target == "Grinning Dog"


def test_texts_come_from_the_domain_that_declares_the_edit(
    checkpoint: Callable[..., Path], convert: Import, tmp_path: Path
) -> None:
    domain = tmp_path / "dogs.yaml"
    domain.write_text(
        "name: dogs\ndiffusion: some/model\nclip: {model: ViT-B-16, pretrained: openai}\n"
        "images: {kind: folder, folder: dogs}\nper_attribute:\n  bark: {texts: {source: Dog, target: Barking Dog}}\n"
    )
    file = checkpoint("mine.pth")

    code, output = convert(file, "--attribute", "bark", "--domain", str(domain))

    assert code == 0, output
    assert "bark: from 'Dog' to 'Barking Dog'" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--attribute: name the edit that this editor was trained for"),
        (
            ["--attribute", "dog_hapy"],
            "'dog_hapy' is no published edit; did you mean dog_happy? Give its two texts",
        ),
        (["--attribute", "qqqqq"], "'qqqqq' is no published edit. Give its two texts"),
        (["--attribute", "grin", "--source", "Dog"], "--target: an edit has two texts"),
        (
            ["--attribute", "a\nb", "--source", "a", "--target", "b"],
            "--attribute: expected a name on one line",
        ),
        (["--attribute", "grin", "--source", "", "--target", "b"], "--source"),
    ],
)
def test_an_edit_without_texts_is_one_message(
    options: list[str], message: str, checkpoint: Callable[..., Path], convert: Import
) -> None:
    file = checkpoint("mine.pth")

    code, output = convert(file, *options)

    assert code == 2
    assert message in output
    assert "Traceback" not in output
    assert not file.with_suffix(".safetensors").exists()


def test_a_place_that_cannot_be_written_is_one_message(
    checkpoint: Callable[..., Path], convert: Import, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    file = checkpoint(file_name("smiling", "CelebA_HQ"))

    for out in (tmp_path / "file" / "smiling.safetensors", tmp_path):
        code, output = convert(file, "--out", str(out))

        assert code == 2
        assert "cannot be written" in output
        assert "Traceback" not in output


def test_half_precision_is_read(checkpoint: Callable[..., Path], convert: Import) -> None:
    file = checkpoint(file_name("smiling", "CelebA_HQ"))
    state = torch.load(file, weights_only=True)[0]
    torch.save({0: {name: value.half() for name, value in state.items()}}, file)

    code, output = convert(file)

    assert code == 0, output
    assert {p.dtype for p in load_editor(file.with_suffix(".safetensors")).editor.parameters()} == {
        torch.float32
    }
