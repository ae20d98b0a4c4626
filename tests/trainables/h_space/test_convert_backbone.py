"""Published backbones become diffusers folders that answer as the published code does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.cli import parser as cli
from trainables.h_space.backbones.converting import Given, convert_backbone, write_folder
from trainables.h_space.backbones.released import build_unet
from trainables.h_space.backbones.structure import PUBLISHED, Structure
from trainables.h_space.backbones.unet import FrozenDiffusion, SplitUNet
from trainables.h_space.pickled_weights import CheckpointError

ORACLE = Path(__file__).parents[4] / "shared" / "data" / "oracle"
needs_data = pytest.mark.skipif(not ORACLE.is_dir(), reason=f"{ORACLE} is not here")

ADM = Given(image_size=16, head_channels=16, num_timesteps=1000, schedule="linear")
CASES = {
    "ddpm": ("ddpm_unet.npz", Given(image_size=16), ""),
    "adm": ("adm_unet.npz", ADM, ""),
    "adm_new_order": (
        "adm_unet.npz",
        Given(image_size=16, num_heads=4, num_timesteps=1000, schedule="linear", is_new_order=True),
        "_new_order",
    ),
}

Convert = Callable[..., tuple[int, str]]


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str]) -> Convert:
    """Run `convert-backbone`: its exit code, and what it printed, on one line."""

    def run(file: Path, *options: str) -> tuple[int, str]:
        code = cli.main(["convert-backbone", str(file), *options])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def oracle_state(name: str) -> tuple[dict[str, torch.Tensor], Any]:
    """(state dict in the repository's names, everything recorded)."""
    recorded = np.load(ORACLE / name)
    prefix = "weights/"
    state = {
        key.removeprefix(prefix): torch.from_numpy(recorded[key].astype(np.float32))
        for key in recorded.files
        if key.startswith(prefix)
    }
    return state, recorded


def saved(state: object, folder: Path, name: str = "model.pt") -> Path:
    torch.save(state, folder / name)
    return folder / name


def guided_state(
    widths: tuple[int, ...] = (32, 64), num_res_blocks: int = 1, attention: tuple[int, ...] = ()
) -> dict[str, torch.Tensor]:
    """Zeros under the names of an improved-DDPM file that halves by convolutions and has 6 output channels."""
    time_width = 4 * widths[0]
    state: dict[str, torch.Tensor] = {}

    def layer(name: str, *shape: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.zeros(shape), torch.zeros(shape[0])

    def block(name: str, inner: int, outer: int) -> None:
        layer(f"{name}.in_layers.0", inner)
        layer(f"{name}.in_layers.2", outer, inner, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * outer, time_width)
        layer(f"{name}.out_layers.0", outer)
        layer(f"{name}.out_layers.3", outer, outer, 3, 3)
        if inner != outer:
            layer(f"{name}.skip_connection", outer, inner, 1, 1)

    def attend(name: str, width: int) -> None:
        layer(f"{name}.norm", width)
        layer(f"{name}.qkv", 3 * width, width, 1)
        layer(f"{name}.proj_out", width, width, 1)

    layer("time_embed.0", time_width, widths[0])
    layer("time_embed.2", time_width, time_width)
    layer("input_blocks.0.0", widths[0], 3, 3, 3)
    skips, now, k = [widths[0]], widths[0], 1
    for level, width in enumerate(widths):
        for _ in range(num_res_blocks):
            block(f"input_blocks.{k}.0", now, width)
            if level in attention:
                attend(f"input_blocks.{k}.1", width)
            now, k = width, k + 1
            skips.append(now)
        if level < len(widths) - 1:
            layer(f"input_blocks.{k}.0.op", now, now, 3, 3)
            skips, k = [*skips, now], k + 1
    block("middle_block.0", now, now)
    attend("middle_block.1", now)
    block("middle_block.2", now, now)
    k = 0
    for level, width in reversed(list(enumerate(widths))):
        for j in range(num_res_blocks + 1):
            block(f"output_blocks.{k}.0", now + skips.pop(), width)
            now = width
            if level in attention:
                attend(f"output_blocks.{k}.1", width)
            if level > 0 and j == num_res_blocks:
                layer(f"output_blocks.{k}.{1 + (level in attention)}.conv", now, now, 3, 3)
            k += 1
    layer("out.0", now)
    layer("out.2", 6, now, 3, 3)
    return state


@needs_data
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_converted_folder_answers_as_the_published_code(case: str, tmp_path: Path) -> None:
    name, given, ending = CASES[case]
    state, recorded = oracle_state(name)
    write_folder(convert_backbone(saved(state, tmp_path), given), tmp_path / "folder")

    model = FrozenDiffusion.from_folder(tmp_path / "folder").split
    encoded = model.encode(torch.from_numpy(recorded["input"]), torch.from_numpy(recorded["timesteps"]))
    found = {"output": model.decode(encoded), "h": encoded.h}
    if not ending:
        found |= {"temb": encoded.temb}
        found |= {"output_edited": model.decode(encoded._replace(h=0.5 * encoded.h + 0.3))}

    for key, value in found.items():
        truth = torch.from_numpy(recorded[f"{key}{ending}"])
        assert (value - truth).abs().max() < 2e-5 * truth.std(), key


@needs_data
def test_diffusers_itself_loads_the_folder(tmp_path: Path, convert: Convert) -> None:
    from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline

    state, _ = oracle_state("ddpm_unet.npz")
    code, output = convert(saved(state, tmp_path), "--image-size", "16")

    assert code == 0, output
    assert "images of 16 x 16 bottleneck 64 x 8 x 8, time embedding 128" in output
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "model")
    assert pipeline.scheduler.config.beta_end == 0.02
    assert not pipeline.scheduler.config.clip_sample


def test_heads_by_number_and_rescaled_timesteps_come_through(tmp_path: Path, convert: Convert) -> None:
    file = saved(guided_state(attention=(0, 1)), tmp_path)
    options = ("--image-size", "16", "--num-heads", "4", "--schedule", "cosine", "--num-timesteps", "4000")

    code, output = convert(file, *options, "--timesteps", "rescaled")

    assert code == 0, output
    assert "learned variance (not used)" in output
    assert "only asyrp-sweep reads this folder" in output
    config = json.loads((tmp_path / "model" / "unet" / "config.json").read_text())
    assert (config["num_attention_heads"], config["timestep_factor"]) == (4, 0.25)
    assert not (tmp_path / "model" / "model_index.json").exists()
    assert len(FrozenDiffusion.from_folder(tmp_path / "model").alpha_bar) == 4000


@torch.no_grad()
def test_settings_that_diffusers_lacks_do_what_they_say() -> None:
    config = {**Structure((32, 32), 1, frozenset({1}), "conv", True).config(8), "attention_head_dim": 8}
    by_width, by_number = (
        build_unet(one).eval()
        for one in (config, {**config, "attention_head_dim": None, "num_attention_heads": 4})
    )
    slowed = build_unet({**config, "timestep_factor": 0.25}).eval()
    for unet in (by_number, slowed):
        unet.load_state_dict(by_width.state_dict())
    x_t = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    truth = SplitUNet(by_width)(x_t, 100)

    assert torch.equal(SplitUNet(by_number)(x_t, 100), truth)
    assert torch.allclose(SplitUNet(slowed)(x_t, 400), truth, atol=1e-6)
    assert not torch.allclose(SplitUNet(slowed)(x_t, 100), truth, atol=1e-4)


@pytest.mark.parametrize(
    ("structure", "millions"), list(zip(PUBLISHED, (93.6, 552.8, 113.7, 35.7), strict=True))
)
def test_published_models_have_the_weights_that_their_read_mes_count(
    structure: Structure, millions: float
) -> None:
    with torch.device("meta"):
        unet = build_unet(structure.config(PUBLISHED[structure].image_size))

    assert sum(p.numel() for p in unet.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(
    "keep", [lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_weights_are_found_where_files_keep_them(keep: Callable[[Any], Any], tmp_path: Path) -> None:
    found = convert_backbone(saved(keep(guided_state()), tmp_path), ADM)

    assert found.config["_class_name"] == "UNet2DModel"


GIVEN = ("--image-size", "16", "--num-heads", "1", "--schedule", "linear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --image-size, --num-heads or --head-channels, --num-timesteps, --schedule"),
        ((*GIVEN, "--num-timesteps", "4000"), "known here: give --timesteps"),
        ((*GIVEN, "--num-timesteps", "1000", "--head-channels", "8"), "give one of them"),
        (
            ("--image-size", "16", "--num-heads", "3", "--num-timesteps", "1000", "--schedule", "linear"),
            "num_heads 3 does not divide the width 64",
        ),
        (
            ("--image-size", "15", *GIVEN[2:], "--num-timesteps", "1000"),
            "expected multiples of 2, which 2 levels halve evenly; found 15 x 15",
        ),
    ],
)
def test_settings_that_weights_do_not_tell_are_asked_for(
    options: tuple[str, ...], message: str, tmp_path: Path, convert: Convert
) -> None:
    code, output = convert(saved(guided_state(), tmp_path), *options)

    assert (code, message in output, "Traceback" in output) == (2, True, False), output
    assert not (tmp_path / "model").exists()


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in guided_state().items() if not key.startswith(name)}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({**guided_state(), "label_emb.weight": torch.zeros(10, 128)}, "conditioned on class labels"),
        ({**guided_state(), "input_blocks.0.0.weight": torch.zeros(32, 6, 3, 3)}, "super-resolution"),
        ({**guided_state(), "time_embed.0.weight": torch.zeros(128, 64)}, "first multiplier other than 1"),
        ({**guided_state(), "input_blocks.0.0.weight": torch.zeros(32, 3, 3, 3, 3)}, "3-dimensional data"),
        ({**guided_state(), "extra.weight": torch.zeros(1)}, "extra.weight has no place"),
        (without("output_blocks.3"), "4 input blocks and 3 output blocks"),
        (without("input_blocks.1.0.out_layers.3.weight"), "out_layers.3.weight is missing"),
        (without("middle_block.0.out_layers.3"), "mid_block.resnets.0.conv2.bias is missing, expected (64,)"),
        (
            {"down_blocks.0.x": torch.zeros(1), "conv_in.weight": torch.zeros(1)},
            "in diffusers' layout already",
        ),
        (
            {"model.diffusion_model.out.0.weight": torch.zeros(1)},
            "latent diffusion model with its autoencoder",
        ),
        ({"layer1.weight": torch.zeros(1)}, "of no known family: expected a checkpoint of the original DDPM"),
        ({"state_dict": {}, "ema": {}}, "several sets of weights (state_dict and ema)"),
        ([1, 2], "of no known family"),
    ],
)
def test_what_cannot_be_represented_is_refused_by_name(
    state: object, message: str, tmp_path: Path, convert: Convert
) -> None:
    code, output = convert(saved(state, tmp_path), *GIVEN, "--num-timesteps", "1000")

    assert (code, message in output, "Traceback" in output) == (2, True, False), output
    assert "model.pt: " in output


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, convert: Convert) -> None:
    file = saved(guided_state(), tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()

    code, output = convert(file, *GIVEN, "--num-timesteps", "1000")

    assert code == 2
    assert "expected a new or an empty folder" in output


@needs_data
def test_an_original_ddpm_has_no_heads_to_choose(tmp_path: Path) -> None:
    state, _ = oracle_state("ddpm_unet.npz")

    with pytest.raises(CheckpointError, match="attention has one head"):
        convert_backbone(saved(state, tmp_path), Given(image_size=16, num_heads=4))
