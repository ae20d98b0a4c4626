"""A domain's models, loaded onto a device.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from trainables.h_space.backbones.autoencoder import FrozenAutoencoder
from trainables.h_space.backbones.prompt import Prompt
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.clip import ClipModel
from trainables.h_space.domains.files import (
    ClipFile,
    DomainError,
    DomainFile,
    NetworkFile,
    clip_weights,
    diffusion_folder,
    image_source,
    read_domain_file,
    resolved_path,
    weights_file,
)
from trainables.h_space.domains.images import ImageSource
from trainables.h_space.domains.summary import domain_summary
from trainables.h_space.lowering import lowered
from trainables.h_space.perception import FeatureExtractor, load_inception, load_lpips
from trainables.h_space.precision import PrecisionConfig
from trainables.loading import to_be_kept
from trainables.wording import expected

if TYPE_CHECKING:
    from trainables.h_space.judges import LoadedJudge


@dataclass(frozen=True, kw_only=True)
class PictureModel:
    """What makes the pictures of a domain, loaded; one per process and device. An edit needs no more."""

    name: str
    fingerprint: str
    diffusion: FrozenDiffusion
    images: ImageSource
    device: torch.device
    autoencoder: FrozenAutoencoder | None = None
    """Between pictures and what the diffusion model works on; None where that is the pictures themselves."""

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        if self.autoencoder is None:
            return self.diffusion.x_shape
        return self.autoencoder.spec.picture_shape(self.diffusion.x_shape)

    def to_latent(self, pixels: Tensor) -> Tensor:
        """x_0 of pictures (B, C, H, W): what the diffusion model works on. Without gradient."""
        return pixels if self.autoencoder is None else self.autoencoder.encode(pixels)

    def to_pixels(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of x, not clamped, never quantised; gradients flow to x."""
        return x if self.autoencoder is None else self.autoencoder.decode(x)

    @torch.no_grad()
    def to_pictures(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of x as they are shown and measured. Without gradient."""
        return x if self.autoencoder is None else self.autoencoder.decode(x, is_shown=True)

    def at(self, precision: PrecisionConfig) -> Self:
        """The same models, computing as these settings say; weights are shared."""
        return replace(
            self,
            diffusion=self.diffusion.at(precision.unet, precision.unet_below),
            autoencoder=None if self.autoencoder is None else self.autoencoder.at(precision.decoder),
        )

    def load_images(self, ids: list[str]) -> Tensor:
        """Images of the given ids, (B, C, H, W) in [-1, 1], on the domain's device."""
        return self.images.load(ids).to(self.device)


@dataclass(frozen=True, kw_only=True)
class Domain(PictureModel):
    """A loaded domain: its pictures, the CLIP that trains editors, and the networks that measure them."""

    clip: ClipModel
    templates: tuple[str, ...]
    clip_eval: ClipModel | None = None
    """Another CLIP, which no editor is trained with."""
    segment: Callable[[Tensor], Tensor] | None = None
    """The part that each pixel shows: (B, C, H, W) -> (B, H, W)."""
    judge: "LoadedJudge | None" = None
    inception: FeatureExtractor | None = None
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None
    """LPIPS of two (B, C, H, W): (B,)."""
    identify: Callable[[Tensor], Tensor] | None = None
    """Who a picture shows: (B, C, H, W) -> (B, F) of unit length."""

    def prompts(self, text: str) -> list[str]:
        """The text in every prompt template."""
        return [template.format(text) for template in self.templates]

    def embed(self, x: Tensor) -> Tensor:
        """CLIP embeddings (B, D) of the pictures of x; gradients flow to x."""
        return self.clip.image(self.to_pixels(x))

    def at(self, precision: PrecisionConfig) -> Self:
        """The same models, computing as these settings say; weights are shared."""
        if precision == PrecisionConfig():
            return self

        def measuring(look: Callable[..., Tensor]) -> Callable[..., Tensor]:
            return lowered(look, precision.metrics, self.device)

        judge, inception, clip_eval = self.judge, self.inception, self.clip_eval
        return replace(
            super().at(precision),
            clip=self.clip.at(precision.clip),
            clip_eval=None if clip_eval is None else clip_eval.at(precision.metrics),
            segment=None if self.segment is None else measuring(self.segment),
            judge=None if judge is None else replace(judge, look=measuring(judge.look)),
            inception=None if inception is None else replace(inception, extract=measuring(inception.extract)),
            lpips=None if self.lpips is None else measuring(self.lpips),
        )


@lru_cache(maxsize=2)
@to_be_kept()
def load_picture_model(name: str, device: str = "cpu") -> PictureModel:
    """Load what makes a domain's pictures onto a device, once per process.

    Raises DomainError when a file is missing.
    """
    summary = domain_summary(name)
    domain, base = read_domain_file(name)
    folder = diffusion_folder(domain, base)
    prompt = None if summary.prompt is None else Prompt.read(summary.prompt)
    diffusion = FrozenDiffusion.from_folder(folder or domain.diffusion, summary.revision, prompt)
    images = image_source(domain, base)
    spec = summary.latents
    images.resize_to(diffusion.x_shape if spec is None else spec.picture_shape(diffusion.x_shape))
    return PictureModel(
        name=summary.name,
        fingerprint=summary.fingerprint,
        diffusion=diffusion.to(torch.device(device)),
        images=images,
        device=torch.device(device),
        autoencoder=None if spec is None else FrozenAutoencoder.load(spec).to(torch.device(device)),
    )


@lru_cache(maxsize=2)
@to_be_kept()
def load_domain(name: str, device: str = "cpu") -> Domain:
    """Load a domain's models onto a device, once per process.

    Raises DomainError when a file is missing.
    """
    pictures = load_picture_model(name, device)
    domain, base = read_domain_file(name)
    inception, lpips = weights_file(domain, base, "inception"), weights_file(domain, base, "lpips")
    return Domain(
        **vars(pictures),
        clip=_load_clip(domain, base).to(pictures.device),
        templates=_templates(domain.templates),
        clip_eval=None
        if domain.clip_eval is None
        else _load_clip(domain, base, "clip_eval").to(pictures.device),
        segment=_segmenter(domain, base, pictures.device),
        judge=_judge(domain, pictures.device),
        inception=None if inception is None else load_inception(inception, pictures.device),
        lpips=None if lpips is None else load_lpips(lpips, pictures.device),
        identify=_identity(domain, base, pictures.device),
    )


def _load_clip(domain: DomainFile, base: Path, key: str = "clip") -> ClipModel:
    clip: ClipFile = getattr(domain, key)
    if clip.folder is not None:
        return ClipModel.from_folder(resolved_path(clip.folder, base, f"{key}.folder"))
    return ClipModel.from_pretrained(str(clip.model), clip_weights(domain, base, key))


def _identity(domain: DomainFile, base: Path, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    path = weights_file(domain, base, "identity")
    if path is None or domain.identity is None:
        return None
    from trainables.h_space.onnx_files import load_identity

    return load_identity(path, domain.identity, device)


def _segmenter(domain: DomainFile, base: Path, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    if domain.segmenter is None:
        return None
    if isinstance(domain.segmenter, NetworkFile):
        from trainables.h_space.onnx_files import segmenter_of

        path = weights_file(domain, base, "segmenter")
        return None if path is None else segmenter_of(path, domain.segmenter).load(device)
    from trainables.h_space.segmenters import SEGMENTERS  # They draw avatars, which is not needed to plan.

    if domain.segmenter not in SEGMENTERS:
        known = ", ".join(SEGMENTERS)
        raise DomainError(f"domain {domain.name}: {domain.segmenter!r} is not a segmenter (known: {known})")
    if load_domain.cache_clear not in SEGMENTERS.when_changed:
        SEGMENTERS.when_changed.append(load_domain.cache_clear)
    return SEGMENTERS[domain.segmenter].load(device)


def _judge(domain: DomainFile, device: torch.device) -> "LoadedJudge | None":
    if domain.judge is None:
        return None
    from trainables.h_space.judges import JUDGES, LoadedJudge

    if domain.judge not in JUDGES:
        raise DomainError(f"domain {domain.name}: {expected('a judge', domain.judge, JUDGES)}")
    if load_domain.cache_clear not in JUDGES.when_changed:
        JUDGES.when_changed.append(load_domain.cache_clear)
    return LoadedJudge(JUDGES[domain.judge], JUDGES[domain.judge].load(device))


def _templates(kind: str) -> tuple[str, ...]:
    if kind == "avatars":
        from trainables.h_space.domains.avatars.captions import PROMPT_TEMPLATES

        return tuple(PROMPT_TEMPLATES)
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
