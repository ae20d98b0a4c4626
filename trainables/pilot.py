"""A few seconds of work that tell what a trial costs on this device, before any has run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables.config import CellConfig
from trainables.diffusion import generate, timestep_sequence, training_timesteps, unedited_trajectory
from trainables.domains import Domain, load_domain
from trainables.optimizers import build_optimizer
from trainables.randomness import generator_for
from trainables.training import Objective, train_batches
from trainables.trajectories import CachedBatch

MAX_TIMESTEPS = 2
"""Timesteps trained, and sampled, in each of the two rounds; the first round warms up."""


@dataclass(frozen=True)
class PilotRates:
    """Seconds per image and step."""

    train: float
    sample: float
    unedited: float
    """Of a plain pass of the U-Net with one image alone, as the trajectory cache takes them."""
    num_parameters: int


def pilot(config: CellConfig, device: str = "cpu") -> PilotRates:
    """Train and sample one batch of noise for a few timesteps, with one thread as a trial has by default.

    Raises DomainError when the domain's files are missing.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(config, load_domain(config.domain, device))
    finally:
        torch.set_num_threads(num_threads)


def _measure(config: CellConfig, domain: Domain) -> PilotRates:
    training = config.training
    # What a timestep costs does not depend on which it is, so one that is still to be found may be any.
    lowest_t = 0 if training.t_edit == "auto" else training.t_edit
    trained = training_timesteps(training.num_train_steps, lowest_t)
    editor = config.editor.build(
        domain.diffusion.shape, generator_for(0, "pilot"), tuple(t for t, _ in trained)
    ).to(domain.device)
    optimizer = build_optimizer(training.optimizer, editor)
    timesteps = trained[:MAX_TIMESTEPS]
    batch = _noise(domain, min(training.batch_size, training.num_images), [t for t, _ in reversed(timesteps)])
    objective = Objective(batch.embedding[0], training.lambda_recon, training)

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def train() -> None:
        train_batches(domain.diffusion, domain.clip, editor, objective, [batch], timesteps, step)

    def sample() -> None:
        generate(domain.diffusion, batch.x_T, timestep_sequence(MAX_TIMESTEPS), editor, t_edit=lowest_t)

    def pass_alone() -> None:
        generate(domain.diffusion, batch.x_T[:1], timestep_sequence(MAX_TIMESTEPS))

    per_step = len(batch.x_T) * len(timesteps)
    return PilotRates(
        train=_seconds(train) / per_step,
        sample=_seconds(sample) / (len(batch.x_T) * MAX_TIMESTEPS),
        unedited=_seconds(pass_alone) / MAX_TIMESTEPS,
        num_parameters=sum(parameter.numel() for parameter in editor.parameters()),
    )


def _noise(domain: Domain, size: int, ascending: list[int]) -> CachedBatch:
    """A batch like a cached one, of noise: what it costs does not depend on what it shows."""
    x_T = torch.randn((size, *domain.diffusion.image_shape), generator=generator_for(0, "pilot noise"))
    x_T = x_T.to(domain.device)
    points = list(unedited_trajectory(domain.diffusion, x_T, ascending))
    with torch.no_grad():
        embedding = domain.clip.image(x_T)
    p_t = torch.stack([point.p_t for point in points], dim=1)
    p_embedding = embedding[:, None].expand(-1, len(points), -1)
    return CachedBatch(x_T, x_T, points[-1].p_t, embedding, p_t, points[0].eps, p_embedding)


def _seconds(work: Callable[[], None]) -> float:
    """Wall time of the second of two rounds."""
    work()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started
