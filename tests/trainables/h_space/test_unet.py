"""A U-Net cut in two is the U-Net; a frozen one answers with epsilon and cannot be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.models.unets.unet_2d import UNet2DModel
from safetensors.torch import load_file, save_file

from trainables.h_space.backbones._folder import check_folder
from trainables.h_space.backbones.bottleneck import bottleneck_shape
from trainables.h_space.backbones.shapes import BackboneError, halved_shape
from trainables.h_space.backbones.unet import FrozenDiffusion, SplitUNet, built_shape
from trainables.h_space.diffusion import predicted_x0
from trainables.h_space.schedule import alpha_bars

SMALL: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention": {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    },
    "resnet_sampling": {
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "down_block_types": ("ResnetDownsampleBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D"),
        "resnet_time_scale_shift": "scale_shift",
    },
    "skips_and_fourier_time": {
        "block_out_channels": (32, 32),
        "norm_num_groups": 8,
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
        "time_embedding_type": "fourier",
    },
    "one_channel_three_levels": {
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 2,
        "block_out_channels": (8, 8, 16),
        "down_block_types": ("DownBlock2D",) * 3,
        "up_block_types": ("UpBlock2D",) * 3,
        "center_input_sample": True,
    },
    "learned_variance": {"out_channels": 6},
    "one_group": {"norm_num_groups": 1},
    "no_middle_block": {"mid_block_type": None},
    "own_time_width": {"time_embedding_dim": 24},
    "published_sampling_oblong": {"downsample_padding": 0, "sample_size": (8, 16), "flip_sin_to_cos": False},
}


ADDED_OTHERWISE = 2e-5
"""What an order of additions may move in an output of size one."""


def make_unet(**settings: Any) -> UNet2DModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DModel(**{**SMALL, **settings}).eval()


def images_for(unet: UNet2DModel, batch: int = 2) -> torch.Tensor:
    size = unet.config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, unet.config["in_channels"], height, width, generator=generator)


def frozen(prediction_type: Any = "epsilon", **settings: Any) -> FrozenDiffusion:
    return FrozenDiffusion(make_unet(**settings), alpha_bars(), prediction_type)


def save_pipeline(folder: Path, unet: UNet2DModel, scheduler: DDPMScheduler) -> None:
    unet.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_both_halves_together_are_the_model_bit_for_bit(variant: str) -> None:
    unet = make_unet(**VARIANTS[variant])
    x_t, t = images_for(unet), torch.tensor([500, 20])

    split = SplitUNet(unet)

    assert torch.equal(split(x_t, t), unet(x_t, t).sample)
    assert torch.equal(split(x_t, 7), unet(x_t, 7).sample)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_divided_decoder_gives_what_diffusers_gives_and_its_gradient(variant: str) -> None:
    model = FrozenDiffusion(make_unet(**VARIANTS[variant]), alpha_bars())
    encoded = model.encode(images_for(model.split.unet), 500)
    undivided = encoded._replace(skip_parts=None)
    delta_h = torch.randn(encoded.h.shape, generator=torch.Generator().manual_seed(2)).requires_grad_()

    found, expected = (model.decode(one, one.h + delta_h) for one in (encoded, undivided))
    gradients = [torch.autograd.grad(one.square().sum(), delta_h)[0] for one in (found, expected)]

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=ADDED_OTHERWISE)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4 * float(gradients[1].std()))


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_bottleneck_shape_is_told_by_the_configuration(variant: str) -> None:
    unet = make_unet(**VARIANTS[variant])
    encoded = SplitUNet(unet).encode(images_for(unet), 7)

    shape = bottleneck_shape(unet.config)

    assert shape[:3] == encoded.h.shape[1:]
    assert shape.temb_width == encoded.temb.shape[1]


def test_a_configuration_of_an_older_diffusers_tells_its_bottleneck_without_a_network() -> None:
    later = {"class_embed_type", "num_class_embeds", "time_embedding_dim"}
    older = {name: value for name, value in make_unet().config.items() if name not in later}

    assert halved_shape(older) == built_shape(older)
    assert halved_shape({**older, "num_class_embeds": 3}) is None
    assert halved_shape({**older, "time_embedding_dim": 24}) == built_shape(
        {**older, "time_embedding_dim": 24}
    )
    assert halved_shape({name: value for name, value in older.items() if name != "up_block_types"}) is None


def test_class_conditional_models_are_refused() -> None:
    with pytest.raises(BackboneError, match="conditioned on class labels"):
        SplitUNet(make_unet(num_class_embeds=10))


def test_a_model_without_image_size_is_refused() -> None:
    with pytest.raises(BackboneError, match="no sample_size"):
        frozen(sample_size=None)


def test_output_channels_that_are_no_epsilon_are_refused() -> None:
    with pytest.raises(BackboneError, match=r"3 input channels must answer with 3 or .* 6; found 4"):
        frozen(out_channels=4)


def test_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(BackboneError, match="expected one of epsilon, v_prediction, sample; found score"):
        frozen("score")


def test_a_frozen_model_takes_no_gradient_and_stays_in_evaluation_mode() -> None:
    model = frozen()

    model.train()

    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_only_the_edited_bottleneck_receives_a_gradient() -> None:
    model = frozen()
    encoded = model.encode(images_for(model.split.unet), 500)
    delta_h = torch.zeros_like(encoded.h, requires_grad=True)

    model.decode(encoded, encoded.h + delta_h).sum().backward()

    assert not encoded.h.requires_grad
    assert delta_h.grad is not None
    assert delta_h.grad.abs().sum() > 0


def test_learned_variance_is_dropped() -> None:
    model = frozen(out_channels=6)
    x_t = images_for(model.split.unet)

    torch.testing.assert_close(model.eps(x_t, 9), model.split(x_t, 9)[:, :3], rtol=0, atol=ADDED_OTHERWISE)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@torch.no_grad()
def test_epsilon_of_every_prediction_type_agrees_with_the_ddim_scheduler(prediction_type: str) -> None:
    model = frozen(prediction_type)
    x_t = images_for(model.split.unet)
    scheduler = DDIMScheduler(
        beta_start=1e-4, beta_end=2e-2, clip_sample=False, prediction_type=prediction_type
    )
    scheduler.set_timesteps(10)

    ours = predicted_x0(x_t, model.eps(x_t, 500), model.alpha_bar_at(500))

    theirs = scheduler.step(model.split(x_t, 500), 500, x_t).pred_original_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_batch_may_hold_several_timesteps() -> None:
    model = frozen("v_prediction")
    x_t = images_for(model.split.unet)

    together = model.eps(x_t, torch.tensor([500, 20]))

    apart = torch.cat([model.eps(x_t[:1], 500), model.eps(x_t[1:], 20)])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_a_pipeline_folder_gives_its_weights_and_its_schedule(tmp_path: Path, schedule: str) -> None:
    unet = make_unet()
    scheduler = DDPMScheduler(beta_schedule=schedule, prediction_type="v_prediction", num_train_timesteps=200)
    save_pipeline(tmp_path, unet, scheduler)

    model = FrozenDiffusion.from_folder(tmp_path)

    x_t = images_for(unet)
    # To rounding only: a frozen model keeps its weights in another memory format.
    torch.testing.assert_close(model.split(x_t, 5), unet(x_t, 5).sample)
    assert model.prediction_type == "v_prediction"
    torch.testing.assert_close(model.alpha_bar, scheduler.alphas_cumprod, rtol=1e-4, atol=1e-6)
    assert model.x_shape == (3, 8, 8)
    assert model.shape == (16, 4, 4, 32)


def test_older_pipelines_with_everything_in_one_folder_load(tmp_path: Path) -> None:
    make_unet().save_pretrained(tmp_path)
    DDPMScheduler(trained_betas=[0.1, 0.2]).save_pretrained(tmp_path)

    model = FrozenDiffusion.from_folder(tmp_path)

    torch.testing.assert_close(model.alpha_bar, torch.tensor([0.9, 0.72]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"sample_size": 9},
            "sample_size: expected multiples of 2, which 2 levels halve evenly; found 9 x 9",
        ),
        ({"sample_size": [8, 8, 8]}, "sample_size: expected pixels, or"),
        ({"sample_size": "8"}, "sample_size: expected pixels, or"),
        ({"_class_name": "UNet3DConditionModel"}, "expected a UNet2DModel.*; found UNet3DConditionModel"),
        ({"num_class_embeds": 10}, "conditioned on class labels"),
    ],
)
def test_a_configuration_that_cannot_be_edited_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        bottleneck_shape({**make_unet().config, **settings})


def cut_weights(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_weights(folder: Path) -> None:
    save_file({"layer": torch.zeros(2)}, folder / "unet" / "diffusion_pytorch_model.safetensors")


def renamed_weights(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("model.safetensors"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_weights, "cannot be read as safetensors .* copy or download it again"),
        (other_weights, "has no weights conv_in.weight and conv_out.weight: .* found layer"),
        (renamed_weights, "is missing: .* found model.safetensors: save the model whole"),
        (lambda folder: (folder / "unet" / "config.json").write_text("{"), "config.json is not JSON"),
        (
            lambda folder: (folder / "unet" / "config.json").write_text("[]"),
            "config.json is not a JSON object",
        ),
        (
            lambda folder: DDPMScheduler(num_train_timesteps=1).save_pretrained(folder / "scheduler"),
            "has no two timesteps that can be used",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_before_it_is_loaded(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    save_pipeline(tmp_path, make_unet(), DDPMScheduler())
    check_folder(tmp_path)
    damage(tmp_path)

    with pytest.raises(BackboneError, match=message):
        check_folder(tmp_path)


def test_weights_of_older_models_are_read_without_running_code(tmp_path: Path) -> None:
    save_pipeline(tmp_path, make_unet(), DDPMScheduler())
    path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    path.unlink()
    torch.save(weights, path.with_suffix(".bin"))

    model = FrozenDiffusion.from_folder(tmp_path)

    torch.testing.assert_close(model.split.unet.conv_in.weight, weights["conv_in.weight"])


def test_missing_weights_are_an_error_not_random_numbers(tmp_path: Path) -> None:
    save_pipeline(tmp_path, make_unet(), DDPMScheduler())
    path = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["conv_in.weight"]
    save_file(weights, path)

    with pytest.raises(BackboneError, match=r"does not fit its config: missing keys conv_in.weight"):
        FrozenDiffusion.from_folder(tmp_path)


@pytest.mark.parametrize("missing", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    save_pipeline(tmp_path, make_unet(), DDPMScheduler())
    (tmp_path / missing).unlink()

    with pytest.raises(BackboneError, match=f"{missing} is missing"):
        FrozenDiffusion.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule: expected linear"),
        ({"prediction_type": "score"}, "prediction_type: expected epsilon"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is not supported"),
    ],
)
def test_schedules_that_cannot_be_read_are_refused(
    tmp_path: Path, setting: dict[str, Any], message: str
) -> None:
    save_pipeline(tmp_path, make_unet(), DDPMScheduler())
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **setting}))

    with pytest.raises(BackboneError, match=message):
        FrozenDiffusion.from_folder(tmp_path)


def test_a_name_that_is_neither_folder_nor_hub_id_says_what_to_put_where() -> None:
    with pytest.raises(BackboneError, match=r"neither a folder nor a model .* must hold unet/config.json"):
        FrozenDiffusion.from_folder("no/such/folder/anywhere")
