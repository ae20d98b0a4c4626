"""A few seconds of work that tell what a trial costs on this device, before any has run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.config import CellConfig
from trainables.diffusion import generate, training_timesteps, unedited_trajectory
from trainables.domains import Domain, load_domain
from trainables.editors import num_parameters
from trainables.optimizers import build_optimizer
from trainables.randomness import generator_for
from trainables.training import Objective, train_batches
from trainables.trajectories import CachedBatch
from trainables.trajectory_files import images_at_once
from trainables.workload import sample_steps, sampling_passes, trained_timesteps

NUM_PIECES = 3
"""How often each piece of a trial is timed, after a first time that warms up."""

TIMESTEPS = training_timesteps(NUM_PIECES + 2, 0)
"""What is trained and sampled: what a timestep costs does not depend on which it is."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class PilotRates:
    """Seconds per image and step, as one timing of each piece tells them."""

    train: float
    sample: float
    unedited: float
    """Of a plain pass of the U-Net, with as many images at once as the trajectory cache takes."""


@dataclass(frozen=True)
class Pilot:
    """What the timed pieces tell of a trial."""

    rounds: tuple[PilotRates, ...]
    """`NUM_PIECES` of them; how far they lie apart tells how steady this machine is."""
    num_parameters: int
    """Of the editor."""


def pilot(config: CellConfig, device: str = "cpu", clock: Clock = time.perf_counter) -> Pilot:
    """Train and sample one batch of noise for a few timesteps, with one thread as a trial has by default.

    Raises DomainError when the domain's files are missing.
    """
    with _one_thread():
        return _measure(config, load_domain(config.domain, device), clock)


def unedited_passes(domain: str, device: str = "cpu") -> list[float]:
    """Seconds of a plain pass of the U-Net per image, as the trajectory cache takes them, `NUM_PIECES` times.

    Raises DomainError when the domain's files are missing.
    """
    with _one_thread():
        return _unedited_passes(load_domain(domain, device), time.perf_counter)


@contextmanager
def _one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _measure(config: CellConfig, domain: Domain, clock: Clock) -> Pilot:
    trained, shape = trained_timesteps(config), domain.diffusion.shape
    editor = config.editor.build(shape, generator_for(0, "pilot"), tuple(t for t, _ in TIMESTEPS))
    editor = editor.to(domain.device)
    batch = _noise(domain, min(config.training.batch_size, config.training.num_images))
    size, t = len(batch.x_T), TIMESTEPS[0].t

    training = _training(config, domain, editor, batch, clock)
    plain = _seconds(lambda: generate(domain.diffusion, batch.x_T, [t]), clock)
    edited = _seconds(lambda: generate(domain.diffusion, batch.x_T, [t], editor), clock)
    unedited = _unedited_passes(domain, clock)

    num_plain, num_edited = sampling_passes(config)
    rounds = []
    for (between, end), of_plain, of_edited, of_one in zip(training, plain, edited, unedited, strict=True):
        num_ends = min(2, len(trained))
        train = (between * (len(trained) - num_ends) + end * num_ends) / len(trained)
        sample = (of_plain * num_plain + of_edited * num_edited) / sample_steps(config)
        rounds.append(PilotRates(train / size, sample / size, of_one))
    return Pilot(tuple(rounds), num_parameters(config.editor, shape, trained))


def _training(
    config: CellConfig, domain: Domain, editor: nn.Module, batch: CachedBatch, clock: Clock
) -> list[tuple[float, float]]:
    """Seconds of a batch's timestep: (one between others, the last one), `NUM_PIECES` times.

    The first and the last of a training take one decoder pass less than those between them.
    """
    optimizer = build_optimizer(config.training.optimizer, editor)
    settings = config.training.model_copy(update={"steps_per": "timestep"})
    objective = Objective(batch.embedding[0], settings.lambda_recon, settings)
    ends: list[float] = []

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ends.append(_now(clock))

    train_batches(domain.diffusion, domain.clip, editor, objective, [batch], TIMESTEPS, step)
    *between, last = [after - before for before, after in pairwise(ends)]
    return [(piece, min(piece, last)) for piece in between]


def _unedited_passes(domain: Domain, clock: Clock) -> list[float]:
    size = images_at_once(domain.device)
    x_T = _images_of_noise(domain, size)
    passes = _seconds(lambda: generate(domain.diffusion, x_T, [TIMESTEPS[0].t]), clock)
    return [seconds / size for seconds in passes]


def _noise(domain: Domain, size: int) -> CachedBatch:
    """A batch like a cached one, of noise: what it costs does not depend on what it shows."""
    x_T = _images_of_noise(domain, size)
    points = list(unedited_trajectory(domain.diffusion, x_T, [t for t, _ in reversed(TIMESTEPS)]))
    with torch.no_grad():
        embedding = domain.clip.image(x_T)
    p_t = torch.stack([point.p_t for point in points], dim=1)
    p_embedding = embedding[:, None].expand(-1, len(points), -1)
    return CachedBatch(x_T, x_T, points[-1].p_t, embedding, p_t, points[0].eps, p_embedding)


def _images_of_noise(domain: Domain, size: int) -> Tensor:
    x_T = torch.randn((size, *domain.diffusion.image_shape), generator=generator_for(0, "pilot noise"))
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
