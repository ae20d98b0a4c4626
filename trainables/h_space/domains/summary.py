"""What planning needs to know of a domain, without loading a model."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from trainables.digests import file_digest
from trainables.errors import UserError
from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.backbones._folder import (
    SCHEDULER_NAMES,
    Schedule,
    check_folder,
    read_schedule,
    read_scheduler,
    read_unet_config,
)
from trainables.h_space.backbones.bottleneck import bottleneck_shape
from trainables.h_space.backbones.latents import LatentSpec, autoencoder_folder
from trainables.h_space.backbones.prompt import PromptSpec
from trainables.h_space.backbones.shapes import BottleneckShape, check_config, image_shape
from trainables.h_space.clip_folder import check_clip_folder
from trainables.h_space.domains.files import (
    ClipFile,
    DomainError,
    DomainFile,
    DomainSource,
    MetricFile,
    NetworkFile,
    clip_weights,
    diffusion_folder,
    image_source,
    latent_spec,
    prompt_spec,
    read_domain_file,
    read_domain_source,
    resolved_path,
    weights_file,
)
from trainables.h_space.domains.images import SPLITS, HeldOut, ImageSource, Split
from trainables.h_space.domains.pictures import PictureImages
from trainables.h_space.domains.scanning import FolderError
from trainables.h_space.domains.thresholds import PUBLISHED_THRESHOLDS, IntervalThresholds
from trainables.h_space.metrics import NEEDS, Need
from trainables.h_space.timesteps import PUBLISHED_T_MAX
from trainables.source_code import code_digest

_MEASURING: dict[Literal["segmenter", "judge"], Path] = {
    "segmenter": Path(__file__).parents[1] / "segmenters",
    "judge": Path(__file__).parents[1] / "judges",
}
"""Where the networks are that only measure. They are not imported: planning needs none of them."""


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
    num_images: Mapping[str, int] = field(default_factory=dict)
    """How many images each split holds; empty where that is not known."""
    source: DomainSource | None = None
    """The file that says all this, where there is one."""
    texts_identity: str = ""
    """Which prompt templates texts are embedded in, where that is another package's business."""
    pictures: PictureImages | None = None
    """The images where they are pictures; None for drawn ones."""
    image_size: tuple[int, int] = (0, 0)
    """Height and width of the pictures."""
    x_shape: tuple[int, int, int] = (0, 0, 0)
    """(channels, height, width) that the diffusion model reads."""
    latents: LatentSpec | None = None
    """The autoencoder; None for a diffusion model of pixels."""
    prompt: PromptSpec | None = None
    """What the diffusion model attends to; None for one without text."""
    segmenter: str | None = None
    """The name of the one that the domain's file asks for; None also where that names an ONNX file."""
    judge: str | None = None
    """The same of the judge."""
    t_max: int = PUBLISHED_T_MAX
    """The noisiest timestep that the diffusion model is used at."""
    schedule: Schedule | None = field(default=None, compare=False)
    """The diffusion model's; None where that is not known."""
    revision: str | None = None
    """Commit of a diffusion model on the hub; None for one in a folder."""

    @property
    def cache_name(self) -> str:
        """Folder of what preparation leaves: by what it reads, and by the code that computes it."""
        return f"{self.fingerprint}-{code_digest(['trainables.h_space.trajectories'])}"


@lru_cache(maxsize=16)
def domain_summary(name: str) -> DomainSummary:
    """Fingerprint, shapes and defaults of a domain, without loading its models.

    Raises DomainError when the domain is unknown, or one of its files is missing or cannot be used.
    """
    source = read_domain_source(name)
    try:
        return _summary(source)
    except DomainError:
        raise
    except UserError as error:
        raise DomainError(f"domain {source.domain.name}: {error}") from error


def _summary(source: DomainSource) -> DomainSummary:
    domain, base = source.domain, source.path.parent
    folder, images = _folder_and_images(domain, base)
    unet_config, revision = _unet_config(domain, folder)
    schedule = (
        read_schedule(folder)
        if folder is not None
        else read_scheduler(_fetched(domain, SCHEDULER_NAMES[::-1]))  # on the hub most lie beside the U-Net
    )
    prompt = prompt_spec(domain, base, unet_config)
    latents = latent_spec(domain, base, folder, unet_config)
    x_shape = image_shape(unet_config)
    identity = {
        "diffusion": _folder_digest(folder) if folder is not None else [domain.diffusion, revision],
        "clip": _clip_identity(domain, base),
        "images": images.fingerprint,
        "templates": domain.templates,
        **_latents_identity(latents),
        **({} if prompt is None else {"prompt": [file_digest(prompt.path), prompt.guidance]}),
        **_evaluation_identity(domain, base),
    }
    text = json.dumps(identity, sort_keys=True)
    return DomainSummary(
        name=domain.name,
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        shape=bottleneck_shape(unet_config),
        attributes=(*_offered(domain), *_declared(domain)),
        defaults=domain.defaults,
        per_attribute=domain.per_attribute,
        per_editor=domain.per_editor,
        stand_ins=domain.stand_ins,
        offers=_offers(domain, images),
        label_names=images.label_names,
        interval=domain.interval,
        num_images={split: images.count(split) for split in SPLITS},
        source=source,
        texts_identity=_texts_identity(domain),
        pictures=images if isinstance(images, PictureImages) else None,
        image_size=(x_shape if latents is None else latents.picture_shape(x_shape))[1:],
        x_shape=x_shape,
        latents=latents,
        prompt=prompt,
        t_max=schedule.t_max,
        schedule=schedule,
        revision=revision,
        segmenter=domain.segmenter if isinstance(domain.segmenter, str) else None,
        judge=domain.judge,
    )


def _folder_and_images(domain: DomainFile, base: Path) -> tuple[Path | None, ImageSource]:
    """Of the diffusion model, and the pictures. Raises DomainError with what is wrong with either, nothing fetched."""
    found: list[Any] = []
    wrong = []
    for look in (diffusion_folder, image_source):
        try:
            found.append(look(domain, base))
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise DomainError("; ".join(wrong))
    folder, images = found
    return folder, images


def domain_image_ids(
    name: str,
    split: Split,
    count: int,
    attribute: Attribute,
    seed: int | None = None,
    held_out: HeldOut = "test",
) -> list[str]:
    """Ids of `count` images of a split to which the edit applies, as `ImageSource.ids` gives them; loads no model.

    Raises DomainError when the split holds fewer.
    """
    try:
        return _images(name).ids(split, count, attribute, seed, held_out)
    except (ValueError, FolderError) as error:
        raise DomainError(f"domain {domain_summary(name).name}: {error}") from error


@lru_cache(maxsize=4)
def _images(name: str) -> ImageSource:
    """The images of a domain, their folder looked through once a process."""
    return image_source(*read_domain_file(name))


def _declared(domain: DomainFile) -> list[str]:
    """Attributes that the domain's file adds to the table by giving their texts."""
    offered = _offered(domain)
    return [name for name, own in domain.per_attribute.items() if "texts" in own and name not in offered]


def _offered(domain: DomainFile) -> Sequence[str]:
    return tuple(ATTRIBUTES) if domain.attributes is None else domain.attributes


def _offers(domain: DomainFile, images: ImageSource) -> frozenset[Need]:
    """What metrics may need and find in this domain."""
    found: dict[Need, bool] = {
        "counterfactual": images.can_redraw,
        "labels": bool(images.label_names),
        "second_clip": domain.clip_eval is not None,
        "segmenter": domain.segmenter is not None,
        "judge": domain.judge is not None,
        "inception": domain.inception is not None,
        "lpips": domain.lpips is not None,
        "identity": domain.identity is not None,
    }
    return frozenset(need for need, is_offered in found.items() if is_offered)


def _clip_identity(domain: DomainFile, base: Path, key: str = "clip") -> dict[str, str] | str:
    clip: ClipFile = getattr(domain, key)
    if clip.folder is None:
        weights = Path(clip_weights(domain, base, key))
        return f"{clip.model}/{file_digest(weights) if weights.is_file() else clip.pretrained}"
    folder = resolved_path(clip.folder, base, f"{key}.folder of domain {domain.name}")
    digests = _folder_digest(folder) if folder.is_dir() else {}
    if not any(name.endswith(".safetensors") for name in digests):
        raise DomainError(f"domain {domain.name}: no CLIP weights in {folder}; expected *.safetensors there")
    check_clip_folder(folder)
    return digests


def _evaluation_identity(domain: DomainFile, base: Path) -> dict[str, object]:
    """Digests of the models that only metrics use, of those that the domain has."""
    identity: dict[str, object] = {}
    if domain.clip_eval is not None:
        identity["clip_eval"] = _clip_identity(domain, base, "clip_eval")
    for key in get_args(MetricFile):
        if (path := weights_file(domain, base, key)) is not None:
            given = getattr(domain, key)
            is_shaped = isinstance(given, NetworkFile)
            identity[key] = (
                [file_digest(path), given.model_dump(exclude={"file"})] if is_shaped else file_digest(path)
            )
    for what, folder in _MEASURING.items():
        if isinstance(name := getattr(domain, what), str):
            weights = [path for path in sorted(folder.glob(f"{name}.*")) if path.suffix != ".py"]
            identity[what] = [name, *map(file_digest, weights)]
    return identity


def _latents_identity(latents: LatentSpec | None) -> dict[str, object]:
    """The autoencoder and how it is used; nothing for a model of pixels."""
    if latents is None:
        return {}
    return {"autoencoder": [_folder_digest(latents.folder), latents.scaling_factor, latents.quantises]}


def _texts_identity(domain: DomainFile) -> str:
    """The package that has the prompt templates; its import takes seconds. The avatars' own are source code."""
    return "" if domain.templates == "avatars" else f"open_clip {version('open_clip_torch')}"


def _folder_digest(folder: Path) -> dict[str, str]:
    """Relative name and sha256 of every weight and config file of a model folder."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".bin"}:
            digests[str(path.relative_to(folder))] = file_digest(path)
    return digests


def _unet_config(domain: DomainFile, folder: Path | None) -> tuple[dict[str, Any], str | None]:
    """The U-Net's config.json, from the folder or (downloading only that file) from the hub, and its commit there.

    Raises DomainError or BackboneError for a model that is not there or cannot be edited.
    """
    if folder is not None:
        has_autoencoder = domain.autoencoder is not None or autoencoder_folder(folder) is not None
        check_folder(folder, reads_latents=has_autoencoder)
        return read_unet_config(folder), None
    path = _fetched(domain, ("config.json",))
    config = dict(json.loads(path.read_text(encoding="utf-8")))
    check_config(config)
    return config, path.parent.name  # The hub's cache keeps a folder for each commit.


def _fetched(domain: DomainFile, names: Sequence[str]) -> Path:
    """The first of these files that the hub has for the diffusion model. Raises DomainError where none can be had."""
    failed: Exception | None = None
    for name in names:
        try:
            return _file_of_hub(domain.diffusion, name)
        except Exception as error:
            failed = failed or error
    raise DomainError(
        f"domain {domain.name}: the diffusion model {domain.diffusion!r} is neither a folder nor can it be fetched "
        f"from the hub ({type(failed).__name__}). Where there is a network: hf download {domain.diffusion} --local-dir "
        "DIR; then name DIR under `diffusion:` of the domain's YAML, or of one of your own that `extends:` it"
    ) from failed


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
