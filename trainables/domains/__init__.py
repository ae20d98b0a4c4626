"""Domains: a frozen diffusion model, a CLIP model and images, behind one interface.

A domain is a YAML file. Shipped ones are named (`avatars`, `celebahq`); any other is the path of such a file.
Everything about shapes comes from the models; nothing here knows how many channels or pixels there are.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import Field, ValidationError
from torch import Tensor

from trainables.attributes import ATTRIBUTES, Attribute
from trainables.backbones.unet import BottleneckShape, FrozenDiffusion, bottleneck_shape
from trainables.clip import ClipModel
from trainables.domains.images import AvatarImages, FolderImages, ImageSource, Split
from trainables.domains.thresholds import PUBLISHED_THRESHOLDS, IntervalThresholds
from trainables.errors import UserError
from trainables.metrics import NEEDS, Need
from trainables.perception import PUBLISHED_FILES, FeatureExtractor, load_inception, load_lpips
from trainables.settings import Settings


class DomainError(UserError):
    """A domain that does not exist or whose files are missing; the message says what to put where."""


class ClipFile(Settings):
    """Where the CLIP model is: a folder in open_clip's layout, or an open_clip name with pretrained weights."""

    folder: str | None = None
    model: str | None = None
    pretrained: str | None = None


class ImagesFile(Settings):
    """Where the images come from: drawn avatars, or a folder with `train/` and `test/` pictures."""

    kind: Literal["avatars", "folder"]
    folder: str | None = None


class DomainFile(Settings):
    """The content of a domain YAML. Paths are relative to the file; $VARIABLES are expanded."""

    name: str
    diffusion: str
    """A diffusers folder with `unet/` and `scheduler/`, or a hub id."""
    clip: ClipFile
    images: ImagesFile
    templates: Literal["imagenet", "avatars"] = "imagenet"
    """Prompt templates for the text direction: open_clip's ImageNet ones, or the avatars' own."""
    clip_eval: ClipFile | None = None
    """A second CLIP model, for metrics alone."""
    segmenter: str | None = None
    """A name of `trainables.segmenters.SEGMENTERS`, for segmentation consistency."""
    inception: str | None = None
    """torchvision's weights file of Inception v3, for FID and KID; the domain's CLIP is used without."""
    lpips: str | None = None
    """torchvision's weights file of AlexNet, for LPIPS."""
    interval: IntervalThresholds = PUBLISHED_THRESHOLDS
    """Thresholds of `training.t_edit: auto` and of t_boost, in LPIPS where the domain has it, else in CLIP distance."""
    attributes: tuple[str, ...] | None = None
    """The attributes offered here; all of them when absent."""
    stand_ins: dict[str, str] = Field(default_factory=dict)
    """Attribute of a published study -> the one that takes its place here."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Settings of a trial that belong to the domain: partial `training`, `evaluation`, ..."""
    per_attribute: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of the trials of one attribute. `texts: {source, target}` declares an attribute that the table does
    not have; `per_editor` in it holds what one kind of editor needs for this attribute."""
    per_editor: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True)
class DomainSummary:
    """What planning needs to know of a domain; no model is loaded for it."""

    name: str
    fingerprint: str
    shape: BottleneckShape
    attributes: tuple[str, ...]
    defaults: Mapping[str, Any]
    per_attribute: Mapping[str, Mapping[str, Any]]
    per_editor: Mapping[str, Mapping[str, Any]]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    offers: frozenset[Need] = frozenset(NEEDS)
    """What metrics may need and find here; all of it where that is not known."""
    label_names: tuple[str, ...] = ()
    """What every image is labelled with."""
    interval: IntervalThresholds = PUBLISHED_THRESHOLDS


@dataclass(frozen=True)
class Domain:
    """A loaded domain; one per process and device."""

    name: str
    fingerprint: str
    diffusion: FrozenDiffusion
    clip: ClipModel
    images: ImageSource
    templates: tuple[str, ...]
    device: torch.device
    clip_eval: ClipModel | None = None
    """Another CLIP, which no editor is trained with."""
    segment: Callable[[Tensor], Tensor] | None = None
    """The part that each pixel shows: (B, C, H, W) -> (B, H, W)."""
    inception: FeatureExtractor | None = None
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None
    """LPIPS of two (B, C, H, W): (B,)."""

    def prompts(self, text: str) -> list[str]:
        """The text in every prompt template."""
        return [template.format(text) for template in self.templates]

    def load_images(self, ids: list[str]) -> Tensor:
        """Images of the given ids, (B, C, H, W) in [-1, 1], on the domain's device."""
        return self.images.load(ids).to(self.device)


def shipped_domains() -> dict[str, Path]:
    """Name and file of every domain that ships with the package."""
    folder = Path(str(files("trainables.domains")))
    found = [*folder.glob("*.yaml"), *folder.glob("*/domain.yaml")]
    return {path.parent.name if path.name == "domain.yaml" else path.stem: path for path in sorted(found)}


def read_domain_file(name: str) -> tuple[DomainFile, Path]:
    """The parsed YAML of a shipped domain or of a path, and the folder its paths are relative to."""
    shipped = shipped_domains()
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise DomainError(
            f"{name!r} is not a domain (shipped: {', '.join(shipped)}) nor the path of a domain YAML"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key in ("attributes",):
            if isinstance(content, dict) and isinstance(content.get(key), list):
                content[key] = tuple(content[key])
        return DomainFile.model_validate(content), path.parent
    except (yaml.YAMLError, ValidationError) as error:
        raise DomainError(f"{path}: {error}") from error


def _resolved(text: str, base: Path, what: str) -> Path:
    """An absolute path for a path of the domain file; an unset variable is an error that names it."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise DomainError(f"{what} is {text!r}: set that environment variable to the folder's path")
    return base / Path(expanded).expanduser()


def _diffusion_folder(domain: DomainFile, base: Path) -> Path | None:
    """The local folder of the diffusion model, or None where the text is a hub id."""
    folder = _resolved(domain.diffusion, base, f"diffusion of domain {domain.name}")
    return folder if folder.is_dir() else None


@lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, modified_ns: int) -> str:
    """sha256 of a file; size and time are in the key, so a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_digest(folder: Path) -> dict[str, str]:
    """Relative name and sha256 of every weight and config file of a model folder."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".bin"}:
            stat = path.stat()
            digests[str(path.relative_to(folder))] = _file_digest(path, stat.st_size, stat.st_mtime_ns)
    return digests


def _unet_config(domain: DomainFile, folder: Path | None) -> dict[str, Any]:
    """The U-Net's config.json, from the folder or (downloading only that file) from the hub."""
    if folder is not None:
        path = folder / "unet" / "config.json"
        path = path if path.is_file() else folder / "config.json"
        if not path.is_file():
            raise DomainError(f"domain {domain.name}: {folder} holds no unet/config.json")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    try:
        return dict(json.loads(_file_of_hub(domain.diffusion, "config.json").read_text(encoding="utf-8")))
    except Exception as error:
        raise DomainError(
            f"domain {domain.name}: the diffusion model {domain.diffusion!r} is neither a folder nor can it be fetched "
            f"from the hub ({type(error).__name__}). Download it where there is a network and name its folder under "
            f"`diffusion:` in a copy of the domain's YAML."
        ) from error


def _file_of_hub(repository: str, name: str) -> Path:
    """A file of a Hugging Face repository, from the local cache where it is there."""
    from huggingface_hub import (
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    cached = try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return Path(cached)
    # Asked first, since it fails at once where there is no network: the download would go on trying for 25 seconds.
    get_hf_file_metadata(hf_hub_url(repository, name))
    return Path(hf_hub_download(repository, name))


@lru_cache(maxsize=16)
def domain_summary(name: str) -> DomainSummary:
    """Fingerprint, shapes and defaults of a domain, without loading its models.

    Raises DomainError when the domain is unknown or one of its files is missing.
    """
    domain, base = read_domain_file(name)
    folder = _diffusion_folder(domain, base)
    unet_config = _unet_config(domain, folder)
    identity = {
        "diffusion": _folder_digest(folder) if folder is not None else domain.diffusion,
        "clip": _clip_identity(domain, base),
        "images": _image_source(domain, base).fingerprint,
        "templates": domain.templates,
        **_evaluation_identity(domain, base),
    }
    text = json.dumps(identity, sort_keys=True)
    images = _image_source(domain, base)
    return DomainSummary(
        name=domain.name,
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        shape=bottleneck_shape(unet_config),
        attributes=(*(domain.attributes or ATTRIBUTES), *_declared(domain)),
        defaults=domain.defaults,
        per_attribute=domain.per_attribute,
        per_editor=domain.per_editor,
        stand_ins=domain.stand_ins,
        offers=_offers(domain, images),
        label_names=images.label_names,
        interval=domain.interval,
    )


def _declared(domain: DomainFile) -> list[str]:
    """Attributes that the domain's file adds to the table by giving their texts."""
    offered = domain.attributes or ATTRIBUTES
    return [name for name, own in domain.per_attribute.items() if "texts" in own and name not in offered]


def _clip_identity(domain: DomainFile, base: Path, key: str = "clip") -> dict[str, str] | str:
    clip: ClipFile = getattr(domain, key)
    if clip.folder is None:
        return f"{clip.model}/{clip.pretrained}"
    folder = _resolved(clip.folder, base, f"{key}.folder of domain {domain.name}")
    digests = _folder_digest(folder) if folder.is_dir() else {}
    if not any(name.endswith(".safetensors") for name in digests):
        raise DomainError(f"domain {domain.name}: no CLIP weights in {folder}; expected *.safetensors there")
    return digests


def _evaluation_identity(domain: DomainFile, base: Path) -> dict[str, object]:
    """Digests of the models that only metrics use, of those that the domain has."""
    identity: dict[str, object] = {}
    if domain.clip_eval is not None:
        identity["clip_eval"] = _clip_identity(domain, base, "clip_eval")
    for key in ("inception", "lpips"):
        if (path := _weights_file(domain, base, key)) is not None:
            stat = path.stat()
            identity[key] = _file_digest(path, stat.st_size, stat.st_mtime_ns)
    return identity


def _weights_file(domain: DomainFile, base: Path, key: Literal["inception", "lpips"]) -> Path | None:
    """The weights file that the domain names. Raises DomainError where it names one that does not exist."""
    text: str | None = getattr(domain, key)
    if text is None:
        return None
    path = _resolved(text, base, f"{key} of domain {domain.name}")
    if not path.is_file():
        raise DomainError(
            f"domain {domain.name}: {key} names {path}, which does not exist. Put {PUBLISHED_FILES[key]} there, or "
            f"leave `{key}` out of a copy of the domain's YAML."
        )
    return path


def _offers(domain: DomainFile, images: ImageSource) -> frozenset[Need]:
    """What metrics may need and find in this domain."""
    found: dict[Need, bool] = {
        "counterfactual": images.can_redraw,
        "labels": bool(images.label_names),
        "second_clip": domain.clip_eval is not None,
        "segmenter": domain.segmenter is not None,
        "inception": domain.inception is not None,
        "lpips": domain.lpips is not None,
    }
    return frozenset(need for need, is_offered in found.items() if is_offered)


def _image_source(domain: DomainFile, base: Path) -> ImageSource:
    if domain.images.kind == "avatars":
        return AvatarImages()
    if domain.images.folder is None:
        raise DomainError(f"domain {domain.name}: images of kind 'folder' need `folder:`")
    folder = _resolved(domain.images.folder, base, f"images.folder of domain {domain.name}")
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise DomainError(f"domain {domain.name}: {folder} has no {split}/ folder of images")
    return FolderImages(folder)


def _load_clip(domain: DomainFile, base: Path, key: str = "clip") -> ClipModel:
    clip: ClipFile = getattr(domain, key)
    if clip.folder is not None:
        return ClipModel.from_folder(_resolved(clip.folder, base, f"{key}.folder"))
    if clip.model is None or clip.pretrained is None:
        raise DomainError(f"domain {domain.name}: {key} needs `folder`, or `model` and `pretrained`")
    return ClipModel.from_pretrained(clip.model, clip.pretrained)


def _segmenter(domain: DomainFile, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    if domain.segmenter is None:
        return None
    from trainables.segmenters import SEGMENTERS  # They draw avatars, which is not needed to plan.

    if domain.segmenter not in SEGMENTERS:
        known = ", ".join(SEGMENTERS)
        raise DomainError(f"domain {domain.name}: {domain.segmenter!r} is not a segmenter (known: {known})")
    return SEGMENTERS[domain.segmenter].load(device)


def domain_image_ids(name: str, split: Split, count: int, attribute: Attribute) -> list[str]:
    """Ids of the first `count` images of a split to which the edit applies; loads no model.

    Raises DomainError when the split holds fewer.
    """
    domain, base = read_domain_file(name)
    try:
        return _image_source(domain, base).ids(split, count, attribute)
    except ValueError as error:
        raise DomainError(f"domain {domain.name}: {error}") from error


def _templates(kind: str) -> tuple[str, ...]:
    if kind == "avatars":
        from trainables.domains.avatars.captions import PROMPT_TEMPLATES

        return tuple(PROMPT_TEMPLATES)
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


@lru_cache(maxsize=2)
def load_domain(name: str, device: str = "cpu") -> Domain:
    """Load a domain's models onto a device, once per process.

    Raises DomainError when a file is missing.
    """
    summary = domain_summary(name)
    domain, base = read_domain_file(name)
    folder = _diffusion_folder(domain, base)
    diffusion = FrozenDiffusion.from_folder(folder if folder is not None else domain.diffusion)
    images = _image_source(domain, base)
    images.resize_to(diffusion.image_shape)
    inception, lpips = _weights_file(domain, base, "inception"), _weights_file(domain, base, "lpips")
    return Domain(
        name=summary.name,
        fingerprint=summary.fingerprint,
        diffusion=diffusion.to(torch.device(device)),
        clip=_load_clip(domain, base).to(torch.device(device)),
        images=images,
        templates=_templates(domain.templates),
        device=torch.device(device),
        clip_eval=None
        if domain.clip_eval is None
        else _load_clip(domain, base, "clip_eval").to(torch.device(device)),
        segment=_segmenter(domain, torch.device(device)),
        inception=None if inception is None else load_inception(inception, torch.device(device)),
        lpips=None if lpips is None else load_lpips(lpips, torch.device(device)),
    )
