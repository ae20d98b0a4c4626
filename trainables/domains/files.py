"""A domain's YAML, and where the files that it names are."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from trainables.domains.images import AvatarImages, FolderImages, ImageSource
from trainables.domains.thresholds import PUBLISHED_THRESHOLDS, IntervalThresholds
from trainables.errors import UserError
from trainables.perception import PUBLISHED_FILES
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
        if isinstance(content, dict) and isinstance(content.get("attributes"), list):
            content["attributes"] = tuple(content["attributes"])
        return DomainFile.model_validate(content), path.parent
    except (yaml.YAMLError, ValidationError) as error:
        raise DomainError(f"{path}: {error}") from error


def resolved_path(text: str, base: Path, what: str) -> Path:
    """An absolute path for a path of the domain file; an unset variable is an error that names it."""
    expanded = os.path.expandvars(text)
    if "$" in expanded:
        raise DomainError(f"{what} is {text!r}: set that environment variable to the folder's path")
    return base / Path(expanded).expanduser()


def diffusion_folder(domain: DomainFile, base: Path) -> Path | None:
    """The local folder of the diffusion model, or None where the text is a hub id."""
    folder = resolved_path(domain.diffusion, base, f"diffusion of domain {domain.name}")
    return folder if folder.is_dir() else None


def weights_file(domain: DomainFile, base: Path, key: Literal["inception", "lpips"]) -> Path | None:
    """The weights file that the domain names. Raises DomainError where it names one that does not exist."""
    text: str | None = getattr(domain, key)
    if text is None:
        return None
    path = resolved_path(text, base, f"{key} of domain {domain.name}")
    if not path.is_file():
        raise DomainError(
            f"domain {domain.name}: {key} names {path}, which does not exist. Put {PUBLISHED_FILES[key]} there, or "
            f"leave `{key}` out of a copy of the domain's YAML."
        )
    return path


def image_source(domain: DomainFile, base: Path) -> ImageSource:
    """Where the domain's images come from. Raises DomainError where that is no folder of two splits."""
    if domain.images.kind == "avatars":
        return AvatarImages()
    if domain.images.folder is None:
        raise DomainError(f"domain {domain.name}: images of kind 'folder' need `folder:`")
    folder = resolved_path(domain.images.folder, base, f"images.folder of domain {domain.name}")
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise DomainError(f"domain {domain.name}: {folder} has no {split}/ folder of images")
    return FolderImages(folder)
