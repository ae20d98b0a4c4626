"""What the configuration of an autoencoder tells of a latent diffusion model, without loading it. Plans need it too."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from trainables.h_space.backbones._folder import CONFIG_NAME, read_json, weights_path
from trainables.h_space.backbones.shapes import BackboneError, image_shape
from trainables.wording import expected

AutoencoderKind = Literal["AutoencoderKL", "VQModel"]
FOLDERS = ("vae", "vqvae")
"""Where pipelines keep their autoencoder, beside `unet/`."""

_UNHANDLED = ("shift_factor", "latents_mean", "latents_std")


@dataclass(frozen=True)
class LatentSpec:
    """An autoencoder, and how its latents become the x of a diffusion model: x = scaling_factor times latent."""

    folder: Path
    kind: AutoencoderKind
    channels: int
    """Of a latent."""
    shrinkage: int
    """Pixels of a picture's side for one of a latent's."""
    scaling_factor: float
    quantises: bool
    """Whether shown and measured pictures are decoded through the codes of a `VQModel`; training never is."""
    recomputes: bool = False
    """Whether decoding with gradients keeps few activations and computes the others again."""
    remark: str = ""
    """What a reader should know."""

    def picture_shape(self, x_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(channels, height, width) of the pictures of x."""
        _, height, width = x_shape
        return 3, height * self.shrinkage, width * self.shrinkage


def autoencoder_folder(pipeline: Path) -> Path | None:
    """The folder of a pipeline's autoencoder; None for a model of pixels."""
    return next((pipeline / name for name in FOLDERS if (pipeline / name / CONFIG_NAME).is_file()), None)


def read_latents(
    folder: Path,
    unet: Mapping[str, Any],
    scaling_factor: float | None,
    *,
    quantises: bool = False,
    recomputes: bool = False,
) -> LatentSpec:
    """The autoencoder in a folder, as it serves a U-Net of this configuration.

    `scaling_factor` is the domain's own; without it the file's counts. diffusers' default is never taken: the
    published VQ model of CelebA-HQ has no factor in its file and was trained with 1, where that default is 0.18215.
    Raises BackboneError where the two do not belong together, or the factor is not known.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise BackboneError(f"{path} is missing: expected a diffusers autoencoder")
    config = read_json(path)
    kind = next((kind for kind in get_args(AutoencoderKind) if kind == config.get("_class_name")), None)
    if kind is None:
        raise BackboneError(
            f"{path}  _class_name: {expected('AutoencoderKL or VQModel', config.get('_class_name'))}"
        )
    for name in _UNHANDLED:
        if config.get(name) is not None:
            raise BackboneError(
                f"{path}  {name}: latents that are shifted cannot be used; found {config[name]!r}"
            )
    if quantises and kind != "VQModel":
        raise BackboneError(f"autoencoder.quantise: a {kind} has no codes to quantise to; leave it out")
    if recomputes and kind != "AutoencoderKL":
        raise BackboneError(
            f"autoencoder.recompute: diffusers has it for AutoencoderKL, not {kind}; leave it out"
        )
    own = config.get("scaling_factor")
    factor = own if scaling_factor is None else scaling_factor
    if factor is None:
        raise BackboneError(
            f"{path} has no scaling_factor, and the diffusion model is useless with another one than it was trained "
            "with: give it in the domain's YAML, such as `autoencoder: {scaling_factor: 1.0}` (1.0 for CompVis's "
            "ldm-celebahq-256, 0.18215 for Stable Diffusion 1 and 2)"
        )
    if config.get("in_channels", 3) != 3 or config.get("out_channels", 3) != 3:
        raise BackboneError(f"{path}: expected an autoencoder of pictures with 3 channels")
    weights_path(folder)
    spec = LatentSpec(
        folder=folder,
        kind=kind,
        channels=config.get("latent_channels", 4 if kind == "AutoencoderKL" else 3),
        shrinkage=2 ** (len(config.get("block_out_channels", (64,))) - 1),
        scaling_factor=float(factor),
        quantises=quantises,
        recomputes=recomputes,
        remark=_remark(path, own, scaling_factor),
    )
    channels, *_ = image_shape(unet)
    if channels != spec.channels:
        raise BackboneError(
            f"{path}: the autoencoder's latents have {spec.channels} channels and the U-Net reads {channels}: they do "
            "not belong together"
        )
    return spec


def _remark(path: Path, own: float | None, given: float | None) -> str:
    if own is None or given is None or own == given:
        return ""
    return f"the domain's scaling_factor {given:g} is used; {path} says {own:g}"
