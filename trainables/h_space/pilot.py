"""A few seconds of work that tell what a trial costs on this device, before any has run."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.errors import UserError
from trainables.exchange import Rates, Timing
from trainables.h_space.backbones.shapes import BackboneError
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import generate, unedited_trajectory
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.editors import num_parameters
from trainables.h_space.evaluation import Evaluation
from trainables.h_space.metrics import EditBatch
from trainables.h_space.optimizers import OPTIMIZERS
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.references import Lookup, Reference
from trainables.h_space.timesteps import Step, training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import CachedBatch
from trainables.h_space.trajectory_files import images_at_once
from trainables.h_space.word_tokenizer import UnknownWordError
from trainables.h_space.workload import measured_pictures, sample_steps, sampling_passes, trained_timesteps
from trainables.randomness import generator_for

BYTES_OF_A_WEIGHT = 4
NUM_PIECES = 3
"""How often each piece of a trial is timed, after a first time that warms up."""

NUM_EVALUATED = 4
"""Images whose evaluation is timed."""
NUM_PROMPTS = 8
"""Prompts that are embedded together for a timing."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Pieces:
    """Seconds of the timed pieces of one round, each per image but for a prompt's."""

    between: float
    """A trained timestep that has others before and after it."""
    end: float
    """The first and the last one of a training take one decoder pass less."""
    plain: float
    edited: float
    """A step of generation without and with the editor."""
    unedited: float
    """A plain pass of the U-Net, with as many images at once as the trajectory cache takes."""
    measuring: float
    """Seconds for measuring a generated picture by all metrics."""
    image: float
    """Embedding an image in CLIP, one at a time."""
    picture: float
    """Seeing all that is asked in an unedited picture, several at a time."""
    prompt: float
    """Embedding a prompt in CLIP, several at a time."""


@dataclass(frozen=True)
class Pilot:
    """What the timed pieces tell of trials of one kind."""

    rounds: tuple[Pieces, ...]
    """`NUM_PIECES` of them; how far they lie apart tells how steady this machine is."""
    num_parameters: int
    """Weights of the editor."""
    num_templates: int
    """Prompts of a text."""
    load_seconds: float | None
    """What reading the models took; None where they were loaded already."""


def train_rate(config: CellConfig, pieces: Pieces, t_max: int) -> float:
    """Seconds per image and trained timestep."""
    num_steps = len(trained_timesteps(config, t_max))
    num_ends = min(2, num_steps)
    return (pieces.between * (num_steps - num_ends) + pieces.end * num_ends) / num_steps


def evaluation_rate(config: CellConfig, pieces: Pieces, t_max: int) -> float:
    """Seconds per image, strength and sampling step of an evaluation: generating, then measuring."""
    num_plain, num_edited = sampling_passes(config, t_max)
    generating = pieces.plain * num_plain + pieces.edited * num_edited
    return (generating + pieces.measuring * measured_pictures(config)) / sample_steps(config)


def pilot(
    config: CellConfig, device: str = "cpu", clock: Clock = time.perf_counter, num_threads: int = 1
) -> Pilot:
    """Train, sample and measure a batch of noise for a few timesteps, with as many threads as a trial has.

    Raises DomainError or ValueError when the domain's files are missing or hold too little.
    """
    with _threads(num_threads):
        num_loaded, began = load_domain.cache_info().misses, clock()
        domain = load_domain(config.domain, device)
        load_seconds = clock() - began
        is_first = load_domain.cache_info().misses > num_loaded
        return _measure(config, domain, clock, load_seconds if is_first else None)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure(config: CellConfig, domain: Domain, clock: Clock, load_seconds: float | None) -> Pilot:
    trained, shape = trained_timesteps(config, domain.diffusion.t_max), domain.diffusion.shape
    timesteps = _timesteps(domain)
    editor = config.editor.build(shape, generator_for(0, "pilot"), tuple(t for t, _ in timesteps))
    editor = editor.to(domain.device)
    shared = _shared(_Alike.of(config, domain, clock))
    batch, lowered = shared.batch, domain.at(config.precision)

    training = _training(config, lowered, editor, batch, clock)
    edited = _seconds(lambda: generate(lowered.diffusion, batch.x_T, [timesteps[0].t], editor), clock)
    size = len(batch.x_T)
    rounds = tuple(
        Pieces(between=between / size, end=end / size, edited=one_edited / size, **pieces)
        for (between, end), one_edited, pieces in zip(training, edited, shared.rounds, strict=True)
    )
    return Pilot(rounds, num_parameters(config.editor, shape, trained), len(domain.templates), load_seconds)


@dataclass(frozen=True)
class _Alike:
    """What the pieces depend on that are the same for every editor and training."""

    key: str
    clock: Clock
    config: CellConfig = field(compare=False)
    domain: Domain = field(compare=False)
    batch_size: int

    @classmethod
    def of(cls, config: CellConfig, domain: Domain, clock: Clock) -> "_Alike":
        key = config.model_dump_json(exclude={"editor", "training", "init"})
        size = min(config.training.batch_size, config.training.num_images)
        key += f" {domain.fingerprint} {domain.device} {torch.get_num_threads()}"
        return cls(key, clock, config, domain, size)


class _Shared(NamedTuple):
    """What pilots of one domain have in common: a batch of noise, and the pieces that no editor changes."""

    batch: CachedBatch
    rounds: list[dict[str, float]]
    """The other fields of `Pieces`, `NUM_PIECES` times."""


@lru_cache(maxsize=1)
def _shared(alike: _Alike) -> _Shared:
    """Timed for the first of several pilots that a launch takes one after another."""
    config, domain, clock = alike.config, alike.domain, alike.clock
    batch = _noise(domain, alike.batch_size)
    size, t, lowered = len(batch.x_T), _timesteps(domain)[0].t, domain.at(config.precision)
    plain = _seconds(lambda: generate(lowered.diffusion, batch.x_T, [t]), clock)
    unedited = _unedited_passes(domain, clock)
    num_kinds, seen, measuring = _evaluation(config, domain, clock)
    image = _seconds(lambda: domain.embed(batch.x_T[:1]), clock)
    prompts = domain.prompts(config.edit.target)[:NUM_PROMPTS]
    prompt = _seconds(lambda: domain.clip.text(prompts), clock)
    rounds = [
        {
            "plain": plain[number] / size,
            "unedited": unedited[number],
            "measuring": measuring[number],
            "image": image[number],
            "picture": seen[number] / num_kinds,
            "prompt": prompt[number] / len(prompts),
        }
        for number in range(NUM_PIECES)
    ]
    return _Shared(batch, rounds)


def _evaluation(config: CellConfig, domain: Domain, clock: Clock) -> tuple[int, list[float], list[float]]:
    """(kinds of unedited pictures, seconds of seeing an image's, seconds of measuring an edit), `NUM_PIECES` times.

    Evaluating an image at one strength and two steps is seeing the unedited pictures, two edited passes, and
    measuring the edit.
    """
    count = min(NUM_EVALUATED, config.evaluation.num_images)
    settings = {
        "num_images": count,
        "strengths": (1.0,),
        "primary_strength": 1.0,
        "num_sample_steps": 2,
        "more_sample_steps": (),
        "num_preview_images": 0,
        "preview_strengths": (),
        "t_boost": 0,
        "delta_h": "predicted",
    }
    short = config.model_copy(
        update={
            "training": config.training.model_copy(update={"t_edit": 0}),
            "evaluation": config.evaluation.model_copy(update=settings),
        }
    )
    images = _NoiseImages(tuple(domain.images.ids("validation", count, config.edit)), _noise(domain, count))
    look_up = _noise_look_up(domain, images.noise)
    texts = AttributeTexts.of(domain, config.edit, look_up)
    evaluation = Evaluation(short, domain, images, texts, look_up=look_up)
    rows = list(range(count))

    def see() -> EditBatch:
        return evaluation.unedited(rows, images.noise, short.evaluation.num_sample_steps)

    found = see()
    num_kinds = sum(one is not None for one in (found.original, found.reconstruction, found.counterfactual))
    seen, edited, evaluated = (
        [seconds / count for seconds in _seconds(work, clock)]
        for work in (
            see,
            lambda: evaluation.edit(_no_editor, rows, 1.0),
            lambda: evaluation.run(_no_editor, 1),
        )
    )
    parts = zip(seen, edited, evaluated, strict=True)
    return num_kinds, seen, [max(whole - unedited - passes, 0.0) for unedited, passes, whole in parts]


def _no_editor(h: Tensor, temb: Tensor, t: int) -> Tensor:
    """An editor that costs nothing."""
    return torch.zeros_like(h)


@dataclass(frozen=True)
class _NoiseImages:
    """In place of cached images."""

    image_ids: tuple[str, ...]
    noise: CachedBatch

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, rows: Sequence[int]) -> CachedBatch:
        """All of them: they fit into one batch."""
        return self.noise


def _noise_look_up(domain: Domain, noise: CachedBatch) -> Lookup:
    """Noise in place of embedded texts: what they cost is timed apart."""
    width = noise.embedding.shape[1]
    second = 0 if domain.clip_eval is None else domain.clip_eval.image(noise.original[:1]).shape[1]

    def look_up(one: Reference) -> Mapping[str, Tensor]:
        generator = generator_for(0, f"pilot {one}")
        rows = torch.randn(
            (len(one.texts), second if one.kind == "second" else width), generator=generator
        ).to(domain.device)
        if one.kind == "probe":
            return {"weights": rows[0], "offset": torch.zeros(())}
        return {"embedding": rows / rows.norm(dim=1, keepdim=True)}

    return look_up


def _training(
    config: CellConfig, domain: Domain, editor: nn.Module, batch: CachedBatch, clock: Clock
) -> list[tuple[float, float]]:
    """Seconds of a batch's timestep: (one between others, the last one), `NUM_PIECES` times.

    The first and the last of a training take one decoder pass less than those between them.
    """
    optimizer = OPTIMIZERS[config.training.optimizer.kind].build(config.training.optimizer, editor)
    settings = config.training.model_copy(update={"steps_per": "timestep"})
    objective = Objective(batch.embedding[0], settings.lambda_recon, settings, domain.to_pixels)
    ends: list[float] = []

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ends.append(_now(clock))

    embed = domain.clip.image
    train_batches(domain.diffusion, embed, editor, objective, [batch], _timesteps(domain), step)
    *between, last = [after - before for before, after in pairwise(ends)]
    return [(piece, min(piece, last)) for piece in between]


def _unedited_passes(domain: Domain, clock: Clock) -> list[float]:
    size = images_at_once(domain)
    x_T = _images_of_noise(domain, size)
    passes = _seconds(lambda: generate(domain.diffusion, x_T, [domain.diffusion.t_max]), clock)
    return [seconds / size for seconds in passes]


def _noise(domain: Domain, size: int) -> CachedBatch:
    """A batch like a cached one, of noise: what it costs does not depend on what it shows."""
    x_T = _images_of_noise(domain, size)
    points = list(unedited_trajectory(domain.diffusion, x_T, [t for t, _ in reversed(_timesteps(domain))]))
    with torch.no_grad():
        pictures = domain.to_pictures(x_T)
        embedding = domain.clip.image(pictures)
        reconstruction = domain.to_pictures(points[-1].p_t)
    p_t = torch.stack([point.p_t for point in points], dim=1)
    p_embedding = embedding[:, None].expand(-1, len(points), -1)
    return CachedBatch(pictures, x_T, reconstruction, embedding, p_t, points[0].eps, p_embedding)


def _timesteps(domain: Domain) -> list[Step]:
    """What is trained and sampled: what a timestep costs does not depend on which it is."""
    return training_timesteps(NUM_PIECES + 2, 0, domain.diffusion.t_max)


def _images_of_noise(domain: Domain, size: int) -> Tensor:
    x_T = torch.randn((size, *domain.diffusion.x_shape), generator=generator_for(0, "pilot noise"))
    return x_T.to(domain.device)


@torch.no_grad()
def _seconds(work: Callable[[], object], clock: Clock) -> list[float]:
    """Times of `NUM_PIECES` rounds after a first one."""
    times = [_now(clock)]
    for _ in range(NUM_PIECES + 1):
        work()
        times.append(_now(clock))
    return [after - before for before, after in pairwise(times[1:])]


def _now(clock: Clock) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock()


def timed(config: CellConfig, device: str, num_threads: int) -> dict[str, Any]:
    """A pilot as JSON holds it. Raises UserError where it cannot be timed here."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("torch finds no GPU here")
    foreseen = (OSError, ImportError, MemoryError)
    try:
        return asdict(pilot(config, device, num_threads=num_threads))
    except (*foreseen, BackboneError, UnknownWordError) as error:
        raise UserError(str(error)) from error
    except torch.OutOfMemoryError as error:
        raise UserError("out of GPU memory") from error


def timing(config: CellConfig, found: Mapping[str, Any], t_max: int) -> Timing:
    """What a pilot's pieces come to in a trial of this configuration. Raises ValueError where they are no pieces."""
    try:
        rounds = [Pieces(**one) for one in found["rounds"]]
        num_templates, num_bytes = found["num_templates"], BYTES_OF_A_WEIGHT * found["num_parameters"]
        load_seconds = found["load_seconds"] or 0.0
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    rates = [
        Rates(
            train_rate(config, pieces, t_max),
            evaluation_rate(config, pieces, t_max),
            {
                "passes": pieces.unedited,
                "images": pieces.image,
                "texts": pieces.prompt * num_templates,
                "prompts": pieces.prompt,
                "pictures": pieces.picture,
                "steps": pieces.plain,
            },
        )
        for pieces in rounds
    ]
    return Timing(rates, num_bytes, load_seconds)
