"""Editor files of one domain, ready to turn pictures and generated faces into strips of edits.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainables.errors import UserError
from trainables.h_space.diffusion import invert
from trainables.h_space.domains.decoding import PictureError, PictureFacts, kept_part, read_pixels
from trainables.h_space.domains.images import to_signed
from trainables.h_space.domains.loading import PictureModel
from trainables.h_space.domains.scanning import printable
from trainables.h_space.editing import Part, Window, apply_editors, equal_coefficients
from trainables.h_space.editor_file import LoadedEditor
from trainables.h_space.evaluation import png
from trainables.h_space.precision import PrecisionConfig
from trainables.h_space.timesteps import timestep_sequence
from trainables.paths import user_path
from trainables.randomness import generator_for


class EditError(UserError):
    """What was asked cannot be done; the message says why."""


@dataclass(frozen=True)
class EditSettings:
    """How editors are applied."""

    strengths: tuple[float, ...] = (1.0,)
    num_steps: int | None = None
    """Steps of inversion and generation; those the first editor was trained with when left out."""
    coefficients: tuple[float, ...] | None = None
    """One an editor; 1/sqrt(n) each when left out."""
    window: Window = "own"
    t_boost: int = 0
    """Noise is added below this t, to edits and reconstruction alike; 0 for none."""
    seed: int = 0
    """Seed of generated faces and of the boost's noise."""


@dataclass(frozen=True)
class Tile:
    """One picture of a strip."""

    label: str
    file_name: str
    """Without folder; ends in `.png`."""
    png: bytes


@dataclass(frozen=True)
class Frame:
    """P_t of one timestep, decoded: unedited, then of every strength."""

    t: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Strip:
    """An image's pictures in order: original, reconstruction, edits, and the true edit where it can be drawn."""

    references: tuple[Tile, ...]
    edits: tuple[Tile, ...]
    true_edit: tuple[Tile, ...] = ()
    frames: tuple[Frame, ...] = ()
    """The way there, where it was asked for: noisy to clean."""

    @property
    def groups(self) -> tuple[tuple[Tile, ...], ...]:
        """What belongs together, in order."""
        return tuple(group for group in (self.references, self.edits, self.true_edit) if group)


@dataclass(frozen=True)
class Source:
    """An image to edit: a picture, or the noise of a face that is made up."""

    name: str
    """Without folder or ending."""
    original: Tensor | None = None
    """(1, C, H, W)"""
    x_T: Tensor | None = None
    """(1, *x), in place of the original."""
    true_edit: Tensor | None = None
    """(1, C, H, W): the image drawn with the attribute."""
    note: str | None = None
    """What was done to the picture to make it fit."""


Way = list[tuple[int, Tensor]]
"""t and P_t (1, *x) of every step."""


class EditSession:
    """Editors of one domain, applied to one image after another."""

    def __init__(self, domain: PictureModel, editors: Sequence[LoadedEditor], settings: EditSettings) -> None:
        """Edits are computed in the precision that the editors' records say, all else in float32, as in their trials.

        `notes` says so. Raises EditError when the editors, their number or the settings do not fit the domain.
        """
        self._domain = domain
        precision, self.notes = _precision(editors, domain)
        self._lowered = domain.at(precision)
        self._settings = settings
        self._attributes = [editor.metadata.config.edit for editor in editors]
        self.parts = _parts(domain, editors, settings)
        self.num_steps = settings.num_steps or self.parts[0].num_train_steps
        self._num_refinements = max(e.metadata.config.training.inversion_refinements for e in editors)
        highest = domain.diffusion.t_max + 1
        if not 2 <= self.num_steps <= highest:
            raise EditError(f"expected 2 to {highest} steps; found {self.num_steps}")
        if not 0 <= settings.t_boost <= highest:
            raise EditError(f"expected noise below a timestep from 0 to {highest}; found {settings.t_boost}")

    @property
    def title(self) -> str:
        """What the edit is: `smiling`, or `0.71 smiling + 0.71 old`."""
        names = [attribute.name for attribute in self._attributes]
        if len(names) == 1 and self.parts[0].coefficient == 1:
            return names[0]
        return " + ".join(
            f"{part.coefficient:.2g} {name}" for part, name in zip(self.parts, names, strict=True)
        )

    def read(self, image: str) -> Source:
        """A picture file, or one of the domain's own images by its id. Raises EditError when it is neither."""
        if (path := user_path(image)).is_file():
            original, note = _read_picture(path, self._domain.picture_shape)
            return Source(printable(path.stem), original.to(self._domain.device), note=note)
        try:
            original = self._domain.load_images([image])
        except (ValueError, OSError, PictureError) as error:
            raise EditError(
                f"{image!r} is neither a picture file nor the id of an image of {self._domain.name}"
            ) from error
        return Source(image.replace("/", "__"), original, true_edit=self._true_edit(image))

    def held_out(self, count: int) -> list[str]:
        """Ids of the domain's first held-out images that all the edits apply to. Raises EditError for too many."""
        looked_at = count
        try:
            while True:
                first, *others = (
                    self._domain.images.ids("test", looked_at, attribute) for attribute in self._attributes
                )
                shared = [image_id for image_id in first if all(image_id in ids for ids in others)]
                if len(shared) >= count:
                    return shared[:count]
                looked_at *= 2
        except ValueError as error:
            raise EditError(f"domain {self._domain.name}: {error}") from error

    def made_up(self, count: int) -> list[Source]:
        """Images that the diffusion model makes up from the seed's noise; more of them begin with the same."""
        noise = generator_for(self._settings.seed, "generated images")
        shape = (1, *self._domain.diffusion.x_shape)
        return [
            Source(
                f"generated-{self._settings.seed}-{number}",
                x_T=torch.randn(shape, generator=noise).to(self._domain.device),
            )
            for number in range(1, count + 1)
        ]

    def strip(self, source: Source, *, has_frames: bool = False) -> Strip:
        """Every picture of an image: inverted where it is a real one, generated again at strength 0, then edited.

        `has_frames` keeps the way of each as well, which decodes every P_t.
        """
        references, x_T = [], source.x_T
        if source.original is not None:
            references = [_tile("original", source.original)]
            x_T = invert(
                self._domain.diffusion,
                self._domain.to_latent(source.original),
                timestep_sequence(self.num_steps, self._domain.diffusion.t_max),
                self._num_refinements,
            )
        assert x_T is not None
        unedited = "reconstruction" if references else "unedited"
        ways: list[Way] = []
        references.append(_tile(unedited, self._edited(x_T, 0.0, ways)))
        edits = [
            _tile(_strength_label(strength), self._edited(x_T, strength, ways), f"strength_{strength:+g}")
            for strength in self._settings.strengths
        ]
        drawn = [] if source.true_edit is None else [_tile("true edit", source.true_edit)]
        names = [unedited, *map(_strength_label, self._settings.strengths)]
        frames = self._frames(names, ways) if has_frames else ()
        return Strip(tuple(references), tuple(edits), tuple(drawn), frames)

    def _frames(self, names: Sequence[str], ways: Sequence[Way]) -> tuple[Frame, ...]:
        """The ways beside each other. P_t is not quantised: of a noisy t it lies between the codes."""
        domains = [self._domain, *[self._lowered] * len(self._settings.strengths)]
        with torch.no_grad():
            return tuple(
                Frame(
                    points[0][0],
                    tuple(
                        _tile(name, domain.to_pixels(p_t))
                        for name, domain, (_, p_t) in zip(names, domains, points, strict=True)
                    ),
                )
                for points in zip(*ways, strict=True)
            )

    def _edited(self, x_T: Tensor, strength: float, ways: list[Way]) -> Tensor:
        """One strength, whose way is added to `ways`.

        All strengths of an image get the same boost noise, so that only the edit tells them apart.
        """
        settings, way = self._settings, Way()
        ways.append(way)
        domain = self._lowered if strength else self._domain
        x_0 = apply_editors(
            domain.diffusion,
            x_T,
            self.parts,
            strength,
            self.num_steps,
            window=settings.window,
            t_boost=settings.t_boost,
            noise_generator=generator_for(settings.seed, "boost noise"),
            watch=lambda t, p_t: way.append((t, p_t)),
        )
        return domain.to_pictures(x_0)

    def _true_edit(self, image_id: str) -> Tensor | None:
        """The image drawn with the attribute, where the domain can; of one editor only."""
        if len(self._attributes) > 1:
            return None
        return self._domain.images.counterfactuals([image_id], self._attributes[0])


def _precision(editors: Sequence[LoadedEditor], domain: PictureModel) -> tuple[PrecisionConfig, list[str]]:
    """How the records say that edits are computed, and what the user should know of it."""
    unmeasured = {"clip": "float32", "metrics": "float32"}  # networks that an edit does not run through
    found, *others = (e.metadata.config.precision.model_copy(update=unmeasured).canonical() for e in editors)
    if any(other != found for other in others):
        return PrecisionConfig(), ["note: the editors' records say different precisions; all is in float32"]
    if not (words := found.in_words()):
        return found, []
    if "float16" in (found.unet, found.decoder) and domain.device.type == "cpu":
        return PrecisionConfig(), [f"note: the record says {words}, which is for GPUs; all is in float32"]
    is_unbounded = found.unet != "float32" and found.unet_below is None
    if is_unbounded and domain.diffusion.prediction_type == "epsilon":  # A trial there would be refused.
        return PrecisionConfig(), [
            f"note: the record says {words}; the diffusion model of {domain.name} predicts epsilon, whose errors "
            "grow at noisy timesteps: all is in float32"
        ]
    return found, [f"note: edits are computed with {words}, as the record says; all else is in float32"]


def _parts(domain: PictureModel, editors: Sequence[LoadedEditor], settings: EditSettings) -> list[Part]:
    coefficients = settings.coefficients or equal_coefficients(len(editors))
    if len(coefficients) != len(editors):
        raise EditError(
            f"expected a coefficient for each of {len(editors)} editors; found {len(coefficients)}"
        )
    return [
        _part(domain, editor, coefficient) for editor, coefficient in zip(editors, coefficients, strict=True)
    ]


def _part(domain: PictureModel, loaded: LoadedEditor, coefficient: float) -> Part:
    config, shape, own = loaded.metadata.config, loaded.metadata.shape, domain.diffusion.shape
    if shape != own:
        raise EditError(
            f"the {loaded.settings.kind} editor of {config.attribute} is for a bottleneck of "
            f"{shape.channels} x {shape.height} x {shape.width}, but domain {domain.name} has "
            f"{own.channels} x {own.height} x {own.width}"
        )
    trained_to = max(loaded.metadata.timesteps)
    if trained_to != domain.diffusion.t_max:
        raise EditError(
            f"the {loaded.settings.kind} editor of {config.attribute} was trained from t = {trained_to} down, but "
            f"domain {domain.name} begins at {domain.diffusion.t_max}: its diffusion model counts other timesteps"
        )
    editor = loaded.editor.to(domain.device).eval().requires_grad_(False)
    return Part(editor, config.training.num_train_steps, config.training.lowest_t, coefficient)


def _read_picture(path: Path, image_shape: tuple[int, int, int]) -> tuple[Tensor, str | None]:
    """A picture file as (1, C, H, W), and what was done to it; None where nothing was. Raises PictureError."""
    pixels, facts = read_pixels(path, image_shape)
    done = [*_fitting(facts, image_shape[1:]), *facts.remarks]
    found = f"{facts.width} x {facts.height}"
    return to_signed(pixels[None]), f"{printable(path.name)}: {found}, {', '.join(done)}" if done else None


def _fitting(facts: PictureFacts, size: tuple[int, int]) -> list[str]:
    """What was done to a picture's size."""
    height, width = size
    if (facts.height, facts.width) == size:
        return []
    shape = "square centre" if height == width else f"centre of {width} : {height}"
    is_whole = kept_part(facts.height, facts.width, size) == (facts.height, facts.width)
    return [f"{'' if is_whole else f'cut to its {shape} and '}resized to {width} x {height}"]


def _strength_label(strength: float) -> str:
    return f"{strength:+.3g}".replace("-", "−") if strength else "0"


def _tile(label: str, pixels: Tensor, stem: str | None = None) -> Tile:
    """The first of a batch of pictures."""
    encoded = png(pixels[0], stem or label)["bytes"]
    assert isinstance(encoded, bytes)
    return Tile(label, f"{(stem or label).replace(' ', '_')}.png", encoded)
