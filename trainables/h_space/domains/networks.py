"""The files of a domain: which are there, which are missing, what each enables, how large it is and where it goes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from trainables.digests import remembered
from trainables.errors import UserError
from trainables.h_space.backbones.latents import FOLDERS, autoencoder_folder
from trainables.h_space.domains.files import (
    PUBLISHED_FILES,
    ClipFile,
    DomainError,
    DomainSource,
    MetricFile,
    NetworkFile,
    clip_weights,
    diffusion_folder,
    image_source,
    named_file,
    resolved_path,
)
from trainables.h_space.domains.images import SPLITS
from trainables.h_space.metrics import METRICS, Need, SetMetric

MEGABYTES = {
    "ViT-B-32": 605,
    "ViT-B-16": 600,
    "ViT-L-14": 1710,
}
"""Of published weights; of others the size is not known before they are there."""
_EVERYTHING = "everything: a trial cannot do without it"


@dataclass(frozen=True)
class DomainPart:
    """A file or folder that a domain's YAML names, or could name."""

    key: str
    """Its place in the YAML."""
    enables: str
    found: str
    """Where it is and how large, or what is missing."""
    is_there: bool
    is_named: bool
    """Whether the YAML names it: then it must be there."""
    advice: str = ""
    """What to put where."""


def parts_of(source: DomainSource) -> Iterator[DomainPart]:
    """Every file that a domain reads or could read, those that it cannot do without first. Loads no model."""
    yield _diffusion(source)
    yield _clip(source, "clip", _EVERYTHING)
    yield _images(source)
    yield _clip(source, "clip_eval", enabled_by("second_clip"))
    for key in get_args(MetricFile):
        yield _weights(source, key, enabled_by(key))


def unfit_files(source: DomainSource) -> Iterator[tuple[MetricFile, str]]:
    """(key, what is wrong) of files of metrics' networks that are there and cannot serve. Each is looked into once."""
    for key in get_args(MetricFile):
        text, given = named_file(source.domain, key), getattr(source.domain, key)
        if text is None:
            continue
        path = resolved_path(text, source.path.parent, f"{key} of domain {source.domain.name}")
        if not path.is_file():
            continue  # the domain's summary says so
        shape = given.model_dump_json(exclude={"file"}) if isinstance(given, NetworkFile) else ""
        try:
            _check(key, path, given, shape)
        except UserError as error:
            yield key, str(error)


def _check(key: MetricFile, path: Path, given: object, shape: str) -> None:
    """Raises UserError for a file that cannot serve."""
    from trainables.h_space import perception

    if isinstance(given, NetworkFile):
        from trainables.h_space.onnx_files import check_onnx, check_onnxruntime

        check_onnxruntime(path)
        file, check = given, check_onnx
        _once(f"{key} {shape}", path, lambda: check(path, file))
    elif key == "inception":
        _once(key, path, lambda: perception.kind_of_inception(path))
    else:
        _once(key, path, lambda: perception.check_alexnet(path))


def _once(what: str, path: Path, check: Callable[[], object]) -> None:
    """Check a file where that was not done before, as long as the file stays what it is."""

    def compute() -> str:
        check()
        return "f" * 64

    remembered(f"{what} fits", [path], compute, is_slow=True)


def enabled_by(need: str) -> str:
    """The metrics that cannot be computed without something, or not as published."""
    wanted: Need | str = need
    names = [metric.name for metric in METRICS.values() if wanted in metric.needs]
    if need == "inception":
        names += [
            metric.name
            for metric in METRICS.values()
            if isinstance(metric, SetMetric) and metric.features == "chosen"
        ]
        return f"{', '.join(names)} in Inception's features; the domain's CLIP serves them without"
    if need == "lpips":
        return f"{', '.join(names)}; `interval` and t_edit: auto in LPIPS, as published"
    return ", ".join(names)


def _diffusion(source: DomainSource) -> DomainPart:
    domain, base = source.domain, source.path.parent
    try:
        folder = diffusion_folder(domain, base)
    except DomainError as error:
        return DomainPart("diffusion", _EVERYTHING, str(error), False, True, "set it to a diffusers folder")
    if folder is None:
        named = resolved_path(domain.diffusion, base, f"diffusion of domain {domain.name}")
        advice = (
            f"put a diffusers folder (unet/, scheduler/; vae/ or vqvae/ for a model of latents) at {named}, or where "
            f"there is a network: hf download {domain.diffusion}. Original checkpoints: asyrp-sweep convert-backbone"
        )
        return DomainPart("diffusion", _EVERYTHING, f"{domain.diffusion}: no folder", False, True, advice)
    of_latents = autoencoder_folder(folder) is not None or domain.autoencoder is not None
    kind = f"of latents, with {' or '.join(FOLDERS)}" if of_latents else "of pixels"
    return DomainPart("diffusion", _EVERYTHING, f"{_sized(folder)}, {kind}", True, True)


def _clip(source: DomainSource, key: str, enables: str) -> DomainPart:
    domain, base = source.domain, source.path.parent
    clip: ClipFile | None = getattr(domain, key)
    if clip is None:
        advice = f"add `{key}: {{model: ViT-L-14, pretrained: openai}}` ({MEGABYTES['ViT-L-14']} MB)"
        return DomainPart(key, enables, "not named", False, False, advice)
    if clip.folder is not None:
        path = resolved_path(clip.folder, base, f"{key}.folder of domain {domain.name}")
        advice = f"put an open_clip folder (open_clip_config.json, *.safetensors) at {path}"
        return _named(key, enables, path, advice)
    try:
        weights = Path(clip_weights(domain, base, key))
    except DomainError as error:
        return DomainPart(key, enables, str(error), False, True, "put the weights there")
    if weights.is_file():
        return DomainPart(key, enables, _sized(weights), True, True)
    size = f" ({MEGABYTES[str(clip.model)]} MB)" if clip.model in MEGABYTES else ""
    found = f"{clip.model}, {clip.pretrained}{size}: open_clip downloads it where there is a network"
    return DomainPart(key, enables, found, True, True)


def _images(source: DomainSource) -> DomainPart:
    domain, base = source.domain, source.path.parent
    if domain.images.kind == "avatars":
        return DomainPart("images", _EVERYTHING, "drawn, no file", True, True)
    advice = "images: a folder with train/ and test/ of pictures, or of rows (docs/domains.md)"
    try:
        images = image_source(domain, base)
        counts = ", ".join(f"{images.count(split)} {split}" for split in SPLITS)
    except UserError as error:
        return DomainPart("images", _EVERYTHING, str(error), False, True, advice)
    return DomainPart("images", _EVERYTHING, f"{domain.images.folder}: {counts}", True, True)


def _weights(source: DomainSource, key: MetricFile, enables: str) -> DomainPart:
    published, given = PUBLISHED_FILES[key], getattr(source.domain, key)
    package = (
        f", which {published.needs} reads: pip install 'asyrp-sweep[metrics]'" if published.needs else ""
    )
    from_where = f"{published.address} ({published.megabytes} MB{package})"
    if given is None:
        advice = f"download {from_where} and add `{key}: {published.example}` to {_own(source)}"
        return DomainPart(key, enables, "not named", False, False, advice)
    text = named_file(source.domain, key)
    if text is None:
        return DomainPart(key, enables, f"{given}, of the package or a plugin", True, True)
    path = resolved_path(text, source.path.parent, f"{key} of domain {source.domain.name}")
    return _named(key, enables, path, f"put {from_where} there")


def _named(key: str, enables: str, path: Path, advice: str) -> DomainPart:
    if path.exists():
        return DomainPart(key, enables, _sized(path), True, True)
    return DomainPart(key, enables, f"{path} does not exist", False, True, advice)


def _own(source: DomainSource) -> str:
    """The file to write into: the domain's own, or a copy of one that ships."""
    is_shipped = source.path.is_relative_to(Path(__file__).parent)
    return f"a copy of {source.path}" if is_shipped else str(source.path)


def _sized(path: Path) -> str:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return f"{path} ({sum(one.stat().st_size for one in files) / 1e6:.0f} MB)"
