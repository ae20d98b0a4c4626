"""Diffusion models that attend to a prompt: always the same one, from a file; guidance is a setting."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from random_domains import (
    UNCHECKED,
    prepare,
    small_config,
    write_domain,
    write_pixel_model,
    write_prompted_model,
)
from safetensors.torch import load_file, save_file

from trainables.errors import UserError
from trainables.h_space.backbones.bottleneck import bottleneck_shape
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.trial import Trial

PROMPT = "prompt: {file: prompt.safetensors}\n"
GUIDED = "prompt: {file: prompt.safetensors, guidance: 3.0}\n"
SD_1 = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "cross_attention_dim": 768,
    "block_out_channels": [320, 640, 1280, 1280],
    "attention_head_dim": 8,
}
"""As Stable Diffusion 1's file says it, the rest being diffusers' defaults."""


@torch.no_grad()
def test_both_halves_together_are_the_model_bit_for_bit_under_the_prompt(tmp_path: Path) -> None:
    write_prompted_model(tmp_path)
    model = load_domain(write_domain(tmp_path, extra=PROMPT)).diffusion
    unet, x_t = model.split.unet, torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    prompt = load_file(tmp_path / "prompt.safetensors")["embedding"].expand(2, -1, -1)
    assert isinstance(unet, UNet2DConditionModel)
    x_t = x_t.contiguous(memory_format=torch.channels_last)

    for t in (7, torch.tensor([500, 20])):
        assert torch.equal(model.eps(x_t, t), unet(x_t, t, encoder_hidden_states=prompt).sample)


@torch.no_grad()
def test_guidance_leads_away_from_the_empty_prompt_and_only_the_prompted_half_is_edited(
    tmp_path: Path,
) -> None:
    write_prompted_model(tmp_path)
    model = load_domain(write_domain(tmp_path, extra=GUIDED)).diffusion
    unet: Any = model.split.unet
    x_t = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    texts = load_file(tmp_path / "prompt.safetensors")
    prompted, empty = (
        unet(x_t, 300, encoder_hidden_states=texts[name].expand(2, -1, -1)).sample
        for name in ("embedding", "empty")
    )

    encoded = model.encode(x_t, 300)
    edited = model.decode(encoded, encoded.h + 1)

    torch.testing.assert_close(model.decode(encoded), empty + 3 * (prompted - empty), rtol=1e-4, atol=1e-5)
    assert encoded.h.shape == (2, 16, 8, 8)
    assert encoded.temb.shape == (2, 32)
    alone = load_domain(_beside(tmp_path, PROMPT)).diffusion
    own = alone.encode(x_t, 300)
    torch.testing.assert_close(
        edited, empty + 3 * (alone.decode(own, own.h + 1) - empty), rtol=1e-4, atol=1e-5
    )


def _beside(folder: Path, extra: str) -> str:
    """A second domain of the same files."""
    path = Path(write_domain(folder, extra=extra))
    return str(path.rename(path.with_name("second.yaml")))


@pytest.mark.parametrize("extra", [PROMPT, GUIDED])
def test_a_trial_under_a_prompt_trains_and_measures(extra: str, tmp_path: Path) -> None:
    write_prompted_model(tmp_path)
    config = small_config(write_domain(tmp_path, extra=extra + UNCHECKED))
    prepare(config, tmp_path / "cache")

    trial = Trial(config, 0, cache_dir=tmp_path / "cache")
    start = {name: value.clone() for name, value in trial.editor.state_dict().items()}
    trial.step()
    result = trial.finish()

    assert any(not torch.equal(value, start[name]) for name, value in trial.editor.state_dict().items())
    assert {row["strength"] for row in result.evaluations} == {0.0, 0.5, 1.0}


def test_the_bottleneck_of_stable_diffusion_is_told_by_its_configuration() -> None:
    assert bottleneck_shape(SD_1) == BottleneckShape(1280, 8, 8, 1280)


def test_the_prompt_and_its_guidance_are_part_of_the_domain(tmp_path: Path) -> None:
    write_prompted_model(tmp_path)
    found = [domain_summary(_beside(tmp_path, PROMPT)).fingerprint]
    domain_summary.cache_clear()
    found.append(domain_summary(_beside(tmp_path, GUIDED)).fingerprint)
    domain_summary.cache_clear()
    tensors = load_file(tmp_path / "prompt.safetensors")
    save_file({**tensors, "embedding": 2 * tensors["empty"]}, tmp_path / "prompt.safetensors")
    found.append(domain_summary(_beside(tmp_path, GUIDED)).fingerprint)

    assert len(set(found)) == 3


def only_a_prompt(folder: Path) -> None:
    tensors = load_file(folder / "prompt.safetensors")
    save_file({"embedding": tensors["embedding"]}, folder / "prompt.safetensors")


def no_file(folder: Path) -> None:
    (folder / "prompt.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        (
            lambda folder: None,
            "",
            r"attends to a prompt .*: give the file of an embedded one, `prompt: \{file: PATH\}`",
        ),
        (write_pixel_model, PROMPT, "prompt: the diffusion model attends to no text"),
        (only_a_prompt, GUIDED, "has no tensor 'empty', which guidance 3 needs; found embedding"),
        (no_file, PROMPT, "prompt.safetensors cannot be read as safetensors"),
        (
            lambda folder: save_file({"embedding": torch.zeros(7, 8)}, folder / "prompt.safetensors"),
            PROMPT,
            r"embedding is \(7, 8\), expected \(tokens, 16\)",
        ),
        (
            lambda folder: None,
            "prompt: {file: a, guidance: 0.5}\n",
            "prompt.guidance: expected at least 1; found 0.5",
        ),
        (
            lambda folder: write_prompted_model(
                folder,
                addition_embed_type="text_time",
                addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=40,
            ),
            PROMPT,
            "conditioned on more than a prompt .*text_time.*, as SDXL's is",
        ),
        (
            lambda folder: write_prompted_model(folder, in_channels=9),
            PROMPT,
            "must answer with 9 or|latents have 4 channels and the U-Net reads 9",
        ),
    ],
)
def test_what_does_not_belong_together_is_one_message(
    change: Callable[[Path], object], extra: str, message: str, tmp_path: Path
) -> None:
    write_prompted_model(tmp_path)
    change(tmp_path)

    with pytest.raises(UserError, match=message):
        domain_summary(write_domain(tmp_path, extra=extra))
