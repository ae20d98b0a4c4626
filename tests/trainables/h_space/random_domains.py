"""Domains of drawn faces whose diffusion models are small and have random weights, written as files."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from trainables.h_space.config import CellConfig
from trainables.h_space.domains import shipped_domains
from trainables.h_space.family import FAMILY

UNCHECKED = "autoencoder: {check_scaling: false}\n"
"""Lines of a domain of latents whose weights are random, which no scaling factor fits."""

CLIP = shipped_domains()["avatars"].parent / "weights" / "clip"


def write_domain(folder: Path, *, extra: str = "") -> str:
    """The domain of a diffusers folder `folder/model`; returns the path of its YAML. `extra` are further lines."""
    path = folder / "domain.yaml"
    path.write_text(
        f"name: random\ndiffusion: model\nclip: {{folder: {CLIP}}}\nimages: {{kind: avatars}}\n"
        f"templates: avatars\nattributes: [grin]\n"
        f"per_attribute: {{grin: {{texts: {{source: face, target: smiling face}}}}}}\n{extra}"
    )
    return str(path)


def write_pixel_model(folder: Path, *, unet: dict[str, Any] | None = None, **schedule: Any) -> None:
    """A U-Net of 32-pixel images and its scheduler, in `folder/model`."""
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    settings = {
        "sample_size": 32,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        UNet2DModel(**settings | (unet or {})).save_pretrained(folder / "model" / "unet")
    DDIMScheduler(**schedule).save_pretrained(folder / "model" / "scheduler")


def write_latent_model(folder: Path, kind: str = "AutoencoderKL", **autoencoder: Any) -> None:
    """A U-Net of latents of 16 x 16, its scheduler and an autoencoder of 32-pixel pictures, in `folder/model`."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel

    channels = {"AutoencoderKL": 4, "VQModel": 3}[kind]
    settings: dict[str, Any] = {
        "block_out_channels": (8, 8),
        "latent_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 4,
        "sample_size": 32,
    }
    write_pixel_model(folder, unet={"sample_size": 16, "in_channels": channels, "out_channels": channels})
    place = folder / "model" / {"AutoencoderKL": "vae", "VQModel": "vqvae"}[kind]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "VQModel":
            VQModel(**{**settings, "num_vq_embeddings": 16, **autoencoder}).save_pretrained(place)
        else:
            AutoencoderKL(**{**settings, **autoencoder}).save_pretrained(place)


def write_prompted_model(folder: Path, width: int = 16, **unet: Any) -> None:
    """The same with a U-Net that attends to text, and a prompt's file `folder/prompt.safetensors`."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    write_latent_model(folder)
    settings: dict[str, Any] = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": width,
    }
    with torch.random.fork_rng():
        torch.manual_seed(2)
        UNet2DConditionModel(**settings | unet).save_pretrained(folder / "model" / "unet")
        tensors = {"embedding": torch.randn(7, width), "empty": torch.randn(7, width)}
    save_file(tensors, folder / "prompt.safetensors")


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None takes one away."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def small_config(domain: str, **training: Any) -> CellConfig:
    """A trial of two images and four steps."""
    return CellConfig.model_validate(
        {
            "domain": domain,
            "attribute": "grin",
            "texts": {"source": "face", "target": "smiling face"},
            "editor": {"kind": "conv", "num_groups": 4},
            "training": {"num_images": 2, "batch_size": 2, "num_train_steps": 4, "t_edit": 1, **training},
            "evaluation": {"num_images": 2, "num_sample_steps": 4, "num_preview_images": 1},
        }
    )


def prepare(config: CellConfig, cache_dir: Path) -> None:
    """Run everything that trials of the configuration read."""
    for stage in FAMILY.preparation([config], cache_dir):
        for task in stage:
            FAMILY.run_preparation(task, cache_dir, "cpu")
