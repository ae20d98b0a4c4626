"""The frozen autoencoder of a latent diffusion model.

Legend: B images, c channels, h x w positions of the latent; H x W pixels in [-1, 1].
"""

from copy import copy
from typing import TYPE_CHECKING, Union, cast

import torch
from torch import Tensor, nn

from trainables.h_space.backbones._folder import load_diffusers
from trainables.h_space.backbones.latents import LatentSpec
from trainables.h_space.lowering import computing_in
from trainables.h_space.precision import Precision

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel


class FrozenAutoencoder(nn.Module):
    """Between pictures and x, the scaled latent that a diffusion model works on. Takes no gradient itself."""

    def __init__(self, model: Union["AutoencoderKL", "VQModel"], spec: LatentSpec) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.precision: Precision = "float32"
        self.requires_grad_(False)
        self.train(False)

    @classmethod
    def load(cls, spec: LatentSpec) -> "FrozenAutoencoder":
        """Read the weights. Raises BackboneError, naming the file, where they are missing or do not fit."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # seconds
        from diffusers.models.autoencoders.vq_model import VQModel

        kinds = {"AutoencoderKL": AutoencoderKL, "VQModel": VQModel}
        model = load_diffusers(kinds[spec.kind], spec.folder)
        if spec.recomputes:
            model.enable_gradient_checkpointing()
        return cls(model, spec)

    def train(self, mode: bool = True) -> "FrozenAutoencoder":
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def at(self, precision: Precision) -> "FrozenAutoencoder":
        """The same model, whose decoder computes in a precision."""
        found = copy(self)
        found.precision = precision
        return found

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """x (B, c, h, w) of pictures (B, 3, H, W): the mode, never a draw, so that it repeats itself."""
        found = self.model.encode(pixels)
        latents: Tensor = found.latents if self.spec.kind == "VQModel" else found.latent_dist.mode()
        return latents * self.spec.scaling_factor

    def decode(self, x: Tensor, *, is_shown: bool = False) -> Tensor:
        """Pictures (B, 3, H, W) of x, not clamped; gradients flow to x.

        Shown ones go through the codes of a `VQModel` where the domain asks for it. Others never do: quantised decoding
        is a staircase with a slope painted on it.
        """
        latents = x / self.spec.scaling_factor
        with computing_in(self.precision, x.device):
            if self.spec.kind == "VQModel":
                quantises = is_shown and self.spec.quantises
                found = cast("VQModel", self.model).decode(latents, force_not_quantize=not quantises)
            else:
                found = self.model.decode(latents)
        return cast(Tensor, found.sample).float()
