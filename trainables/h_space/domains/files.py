"""A domain's YAML, and where the files that it names are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from trainables.errors import Problem, UserError, without_echoes
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.backbones.latents import FOLDERS, LatentSpec, autoencoder_folder, read_latents
from trainables.h_space.backbones.prompt import PromptSpec, prompt_of
from trainables.h_space.domains.folder import FolderImages
from trainables.h_space.domains.images import AvatarImages, ImageSource
from trainables.h_space.domains.thresholds import PUBLISHED_THRESHOLDS, IntervalThresholds
from trainables.names import wrong_name
from trainables.paths import user_path
from trainables.settings import Settings
from trainables.wording import expected, validation_problems
from trainables.yaml_tree import Loc, YamlTree, dotted, laid_over, read_yaml_file

_WEIGHT_ENDINGS = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")


@dataclass(frozen=True)
class PublishedFile:
    """A file of a network that metrics use."""

    address: str
    megabytes: int
    example: str = "PATH"
    """What a domain's file says of it."""
    needs: str = ""
    """The package that reads it, of the extra `metrics`."""


PUBLISHED_FILES = {
    "inception": PublishedFile(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        96,
        needs="torch-fidelity",
    ),
    "lpips": PublishedFile(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", 233, needs="lpips"
    ),
    "segmenter": PublishedFile(
        "https://github.com/yakhyo/face-parsing/releases/download/weights/resnet18.onnx",
        50,
        "{file: PATH, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}",
        "onnxruntime",
    ),
    "identity": PublishedFile(
        "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip and take w600k_r50.onnx out",
        174,
        "{file: PATH, crop: [0.137, 0.125, 0.871, 0.859]}",
        "onnxruntime",
    ),
}
"""Files that serve the metrics' networks: those that papers use, or ones that many do."""


_LAID_OVER = ("defaults", "per_attribute", "per_editor", "stand_ins")
"""Keys of a file whose values are merged with those of the file that it extends."""
_NAMING_FILES = ("diffusion", "folder", "file", "pretrained", "inception", "lpips")


class DomainError(UserError):
    """A domain that does not exist or whose files are missing; the message says what to put where."""

    def __init__(self, *said: str | Problem) -> None:
        """`said` are sentences, or problems with places in the domain's file."""
        super().__init__("\n".join(map(str, said)))
        self.said = said


class ClipFile(Settings):
    """Where the CLIP model is: a folder in open_clip's layout, or an open_clip name with pretrained weights."""

    folder: str | None = None
    """A folder in open_clip's layout; without `model` and `pretrained`."""
    model: str | None = None
    """open_clip's name of the model."""
    pretrained: str | None = None
    """open_clip's tag of the weights, or the path of their file."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "ClipFile":
        if self.folder is None and (self.model is None or self.pretrained is None):
            raise ValueError("expected `folder`, or `model` and `pretrained`")
        return self


class ImagesFile(Settings):
    """Where the images come from: drawn avatars, or pictures of the splits `train` and `test`."""

    kind: Literal["avatars", "folder", "table"]
    """avatars: drawn faces; folder: picture files; table: rows of Parquet files or of a saved Hugging Face dataset."""
    folder: str | None = None
    """The folder that holds the splits, for kinds folder and table."""
    column: str | None = None
    """The column with the pictures, for kind table; the only one that can have them when left out."""
    recursive: bool = False
    """Whether the pictures in folders inside `train/` and `test/` are read too."""
    size: Literal[32, 64] = 32
    """Pixels of a side that faces are drawn at, for kind avatars."""

    @model_validator(mode="after")
    def _has_a_folder(self) -> "ImagesFile":
        if self.kind != "avatars" and self.folder is None:
            raise ValueError(f"images of kind {self.kind} need `folder`, the path of their train/ and test/")
        return self


class AutoencoderFile(Settings):
    """The autoencoder of a latent diffusion model."""

    folder: str | None = None
    """Its diffusers folder; `vae/` or `vqvae/` beside the diffusion model's `unet/` when left out."""
    scaling_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """What latents are multiplied by before the diffusion model reads them; that of its own file when left out."""
    check_scaling: bool = True
    """Whether trials start only where a short inversion and generation says that the factor fits. `false` where it is
    meant to be another one than the diffusion model was trained with."""
    quantise: bool = False
    """Whether shown and measured pictures are decoded through the codes of a VQModel. Training never is."""
    recompute: bool = False
    """Whether training keeps few activations of an AutoencoderKL's decoder and computes the others again: about half
    the memory of decoding with gradients at 512 pixels, and a fifth to a half more of its time. Same numbers."""


class PromptFile(Settings):
    """The fixed prompt of a diffusion model that attends to text."""

    file: str
    """A safetensors file with its embedding: `embedding` (tokens, width), and `empty` where guidance is not 1."""
    guidance: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0
    """s of eps = eps_empty + s (eps_prompt - eps_empty). 1, the prompt alone, costs half, and inversion comes back
    from it."""


Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class NetworkFile(Settings):
    """A network as an ONNX file: one input, (1, 3, height, width) of 32-bit numbers; its first output counts."""

    file: str
    """Path of the file, which holds its weights itself."""
    size: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Pixels of a side that pictures are resized to; the file's own where its input is of a fixed size."""
    mean: Annotated[tuple[Finite, Finite, Finite], Field(strict=False)] = (0.5, 0.5, 0.5)
    """Subtracted from red, green and blue in [0, 1]. With the defaults the network reads [-1, 1]."""
    std: Annotated[tuple[Positive, Positive, Positive], Field(strict=False)] = (0.5, 0.5, 0.5)
    """What the differences are divided by."""


class IdentityFile(NetworkFile):
    """A network whose features, (1, features), are alike for pictures of one person."""

    crop: Annotated[tuple[Share, Share, Share, Share], Field(strict=False)] = (0.0, 0.0, 1.0, 1.0)
    """Top, left, bottom and right of the face, as shares of the picture."""

    @model_validator(mode="after")
    def _crops_something(self) -> "IdentityFile":
        top, left, bottom, right = self.crop
        if top >= bottom or left >= right:
            raise ValueError(f"crop: expected top, left, bottom, right of a part; found {list(self.crop)}")
        return self


class DomainFile(Settings):
    """The content of a domain YAML. Paths are relative to the file; $VARIABLES are expanded."""

    extends: str | None = None
    """Another domain, shipped or the path of its file, whose values stand where this file has none. `defaults`,
    `per_attribute`, `per_editor` and `stand_ins` are laid over its; other keys replace its."""
    name: str
    """The domain's name in tables and messages."""
    diffusion: str
    """A diffusers folder with `unet/` and `scheduler/`, or a hub id."""
    made_by: str = ""
    """The command that makes the diffusion model, of a domain whose model is not published."""
    autoencoder: AutoencoderFile | None = None
    """For a diffusion model of latents, what its files do not say; nothing for one of pixels."""
    prompt: PromptFile | None = None
    """For a diffusion model that attends to text, such as Stable Diffusion."""
    clip: ClipFile
    """The CLIP model that editors are trained and measured with."""
    images: ImagesFile
    """Where the pictures come from."""
    templates: Literal["imagenet", "avatars"] = "imagenet"
    """Prompt templates for the text direction: open_clip's ImageNet ones, or the avatars' own."""
    clip_eval: ClipFile | None = None
    """A second CLIP model, for metrics alone."""
    segmenter: str | NetworkFile | None = None
    """What says which part every pixel shows, for segmentation consistency: a name of
    `trainables.h_space.segmenters.SEGMENTERS`, or a file whose output is logits (1, parts, height, width)."""
    judge: str | None = None
    """A name of `trainables.h_space.judges.JUDGES`: a network that trains no editor, for the metrics judged_*."""
    inception: str | None = None
    """Weights file of Inception v3, for FID and KID: that of 2015, as papers use it
    (pt_inception-2015-12-05-6726825d.pth, with torch-fidelity), or torchvision's. The domain's CLIP is used without."""
    lpips: str | None = None
    """torchvision's weights file of AlexNet, for LPIPS."""
    identity: IdentityFile | None = None
    """A file whose output is features of a person, (1, features), such as ArcFace's, for `identity_similarity`."""
    interval: IntervalThresholds = PUBLISHED_THRESHOLDS
    """Thresholds of `training.t_edit: auto` and of t_boost, in LPIPS where the domain has it, else in CLIP distance."""
    attributes: tuple[str, ...] | None = None
    """The attributes offered here, beside those that `per_attribute` declares; all of the table when left out."""
    stand_ins: dict[str, str] = Field(default_factory=dict)
    """Attribute of a published study -> the one that takes its place here."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Settings of a trial that belong to the domain: partial `training`, `evaluation`, ..."""
    per_attribute: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of the trials of one attribute. `texts: {source, target}` declares an attribute that the table does
    not have; `per_editor` in it holds what one kind of editor needs for this attribute."""
    per_editor: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of the trials of one kind of editor."""


def shipped_domains() -> dict[str, Path]:
    """Name and file of every domain that ships with the package."""
    folder = Path(str(files("trainables.h_space.domains")))
    found = [*folder.glob("*.yaml"), *folder.glob("*/domain.yaml")]
    return {path.parent.name if path.name == "domain.yaml" else path.stem: path for path in sorted(found)}


Read = tuple[Path, YamlTree]
"""A file, and what is in it."""


@dataclass(frozen=True)
class DomainSource:
    """A domain's file as read, with those that it extends."""

    path: Path
    files: tuple[Read, ...]
    """The nearest first."""
    domain: DomainFile

    def problem(self, place: Loc, message: str) -> Problem:
        """What is wrong with the value at a place."""
        return _problem(self.files, place, message)


def _problem(files: Sequence[Read], place: Loc, message: str) -> Problem:
    """A problem in the file that says most of the way to a place."""
    path, tree = max(files, key=lambda file: file[1].depth_of(place))
    return Problem(str(path), tree.line_of(place), dotted(place), message)


def read_domain_file(name: str) -> tuple[DomainFile, Path]:
    """The parsed YAML of a shipped domain or of a path, and the folder its paths are relative to."""
    source = read_domain_source(name)
    return source.domain, source.path.parent


def read_domain_source(name: str) -> DomainSource:
    """The file of a shipped domain or of a path. Raises DomainError with everything wrong with it."""
    files = _read(_domain_path(name))
    content = _merged(files)
    problems = [Problem(str(path), *found) for path, tree in files for found in tree.problems]
    if isinstance(content.get("attributes"), list):
        content = {**content, "attributes": tuple(content["attributes"])}
    try:
        source = DomainSource(files[0][0], tuple(files), DomainFile.model_validate(content))
        problems += [source.problem(place, message) for place, message in _wrong_names(source.domain)]
    except ValidationError as error:
        found = [
            _problem(files, place, message)
            for place, message in validation_problems(error, DomainFile, content)
        ]
        problems += without_echoes(found, problems)
    if problems:
        raise DomainError(*problems)
    return source


def _read(path: Path) -> list[Read]:
    """A domain's file and those that it extends, the nearest first. Raises DomainError for one that is no mapping."""
    files: list[Read] = []
    while True:
        try:
            tree = read_yaml_file(path)
        except OSError as error:
            raise DomainError(f"{path} cannot be read: {error.strerror}") from error
        if not isinstance(tree.content, dict):
            problems = [Problem(str(path), *found) for found in tree.problems]
            raise DomainError(*(problems or [Problem(str(path), 1, "", expected("a mapping", tree.content))]))
        files.append((path, tree))
        named = tree.content.get("extends")
        if not isinstance(named, str):
            return files
        place = Problem(str(path), tree.line_of(("extends",)), "extends", "")
        try:
            path = _domain_path(named, path.parent)
        except DomainError as error:
            raise DomainError(replace(place, message=str(error))) from error
        if any(path.samefile(earlier) for earlier, _ in files):
            raise DomainError(replace(place, message=f"comes back to itself: {path}"))


def _merged(files: Sequence[Read]) -> dict[str, Any]:
    """One content, each file over those that it extends, whose paths are as seen from anywhere."""
    (_, own), *extended = files
    content: dict[str, Any] = own.content
    for path, tree in extended:
        below = _with_absolute_paths(tree.content, path.parent)
        laid = {key: laid_over(below.get(key, {}), content[key]) for key in _LAID_OVER if key in content}
        content = {**below, **content, **laid}
    return content


def _with_absolute_paths(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A file's content with what it names beside itself, such as weights."""
    return {
        key: _with_absolute_paths(value, folder)
        if isinstance(value, Mapping) and key not in _LAID_OVER
        else str((folder / value).absolute())
        if isinstance(value, str) and key in _NAMING_FILES and os.path.exists(folder / value)  # noqa: PTH110 - as user_path
        else value
        for key, value in content.items()
    }


def _domain_path(name: str, folder: Path = Path()) -> Path:
    shipped = shipped_domains()
    try:
        path = shipped.get(name) or user_path(name, folder)
    except UserError as error:
        raise DomainError(str(error)) from error
    if path.is_dir():
        raise DomainError(
            f"{name!r} is a folder; expected the YAML of a domain in it, or one of {', '.join(shipped)}"
        )
    if not path.is_file():
        raise DomainError(
            f"{name!r} is not a domain (shipped: {', '.join(shipped)}) nor the path of a domain YAML"
        )
    return path


def _wrong_names(domain: DomainFile) -> Iterator[tuple[Loc, str]]:
    """A name that cannot be one, and attributes that neither the table nor the file itself knows."""
    for name in domain.per_attribute:
        if name not in ATTRIBUTES and "texts" not in domain.per_attribute[name]:
            yield (
                ("per_attribute", name),
                expected("an attribute, or `texts` that declare one", name, ATTRIBUTES),
            )
    if wrong := wrong_name(domain.name):
        yield ("name",), wrong
    declared = {name for name, own in domain.per_attribute.items() if "texts" in own}
    for index, name in enumerate(domain.attributes or ()):
        if name not in ATTRIBUTES and name not in declared:
            yield ("attributes", index), expected("an attribute", name, [*ATTRIBUTES, *declared])
    for name, other in domain.stand_ins.items():
        if other not in ATTRIBUTES and other not in declared:
            yield ("stand_ins", name), expected("an attribute", other, [*ATTRIBUTES, *declared])


def resolved_path(text: str, base: Path, what: str) -> Path:
    """The path that a domain file names; an unset variable is an error that says so."""
    try:
        return user_path(text, base)
    except UserError as error:
        raise DomainError(f"{what} is {error}") from error


def diffusion_folder(domain: DomainFile, base: Path) -> Path | None:
    """The local folder of the diffusion model, or None where the text is a hub id.

    Raises DomainError for a model that is not there and could only be made.
    """
    try:
        folder = resolved_path(domain.diffusion, base, f"diffusion of domain {domain.name}")
    except DomainError as error:
        if not domain.made_by:
            raise
        raise DomainError(f"{error}. {_how_to_make(domain)}") from error
    if folder.is_dir():
        return folder
    if domain.made_by:
        raise DomainError(f"diffusion of domain {domain.name}: no folder {folder}. {_how_to_make(domain)}")
    return None


def _how_to_make(domain: DomainFile) -> str:
    return f"The weights of this model do not ship; this command makes them: {domain.made_by}"


def latent_spec(
    domain: DomainFile, base: Path, folder: Path | None, unet: Mapping[str, Any]
) -> LatentSpec | None:
    """The autoencoder of the domain's diffusion model; None for a model of pixels, or one on the hub.

    Raises DomainError or BackboneError for one that is not there or does not belong to this U-Net.
    """
    given = domain.autoencoder
    if given is not None and given.folder is not None:
        found: Path | None = resolved_path(given.folder, base, f"autoencoder.folder of domain {domain.name}")
    else:
        found = None if folder is None else autoencoder_folder(folder)
    if found is not None:
        given = given or AutoencoderFile()
        return read_latents(
            found, unet, given.scaling_factor, quantises=given.quantise, recomputes=given.recompute
        )
    if given is not None:
        raise DomainError(
            f"domain {domain.name}: it has settings of an autoencoder, and {folder or domain.diffusion} has none in "
            f"{' or '.join(f'{name}/' for name in FOLDERS)}: name its folder as autoencoder.folder"
        )
    return None


def prompt_spec(domain: DomainFile, base: Path, unet: Mapping[str, Any]) -> PromptSpec | None:
    """The prompt of the domain's diffusion model; None for one that attends to no text.

    Raises DomainError or BackboneError where it is missing, or does not fit this U-Net.
    """
    given = domain.prompt
    path = None if given is None else resolved_path(given.file, base, f"prompt.file of domain {domain.name}")
    return prompt_of(path, 1.0 if given is None else given.guidance, unet)


MetricFile = Literal["inception", "lpips", "segmenter", "identity"]
"""Keys of a domain that may name the file of a network of metrics."""


def weights_file(domain: DomainFile, base: Path, key: MetricFile) -> Path | None:
    """The network's file that the domain names. Raises DomainError where it names one that does not exist."""
    text = named_file(domain, key)
    if text is None:
        return None
    path = resolved_path(text, base, f"{key} of domain {domain.name}")
    if not path.is_file():
        raise DomainError(
            f"domain {domain.name}: {key} names {path}, which does not exist. Put "
            f"{PUBLISHED_FILES[key].address} there, or leave `{key}` out of a copy of the domain's YAML."
        )
    return path


def named_file(domain: DomainFile, key: MetricFile) -> str | None:
    """The text by which the domain names a network's file; None where it names none, or a segmenter of the package."""
    found = getattr(domain, key)
    if isinstance(found, NetworkFile):
        return found.file
    return None if key == "segmenter" else found


def clip_weights(domain: DomainFile, base: Path, key: str = "clip") -> str:
    """What `pretrained` of a CLIP without a folder names: the path of a weights file, or a tag of open_clip.

    Raises DomainError for a path where no file is.
    """
    named = str(getattr(domain, key).pretrained)
    path = resolved_path(named, base, f"{key}.pretrained of domain {domain.name}")
    if path.is_file():
        return str(path)
    if named.startswith((".", "/", "~", "$")) or path.suffix in _WEIGHT_ENDINGS:
        raise DomainError(
            f"domain {domain.name}: {key}.pretrained names {path}, which does not exist; expected a file of "
            "weights, or a tag of open_clip such as openai"
        )
    return named


def image_source(domain: DomainFile, base: Path) -> ImageSource:
    """Where the domain's images come from. Raises DomainError without a folder, FolderError for one without splits."""
    if domain.images.kind == "avatars":
        return AvatarImages(domain.images.size)
    folder = resolved_path(str(domain.images.folder), base, f"images.folder of domain {domain.name}")
    if domain.images.kind == "table":
        from trainables.h_space.domains.tables import TableImages  # its libraries take a moment

        return TableImages(folder, domain.images.column)
    return FolderImages(folder, recursive=domain.images.recursive)
