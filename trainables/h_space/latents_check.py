"""Whether latents are scaled as the diffusion model was trained with them.

A wrong scaling factor raises no error: the autoencoder alone returns every picture, since decoding divides by what
encoding multiplied. Latents that are too small do not come back from inversion and generation. Latents that are too
large do, but are larger than those that the diffusion model makes from noise.

Legend: B images, C channels, H x W pixels in [-1, 1], x latents.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainables.atomic import read_tensors, save_tensors
from trainables.errors import UserError
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.diffusion import generate, invert
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.timesteps import timestep_sequence
from trainables.h_space.trajectories import CachedImages
from trainables.randomness import generator_for

NUM_IMAGES = 4
NUM_STEPS = 10
NUM_NOTED = 8
"""Images that a trial's note is about, at most."""
MAX_ERROR = 1.0
"""Of what comes back, in deviations of what went in: there, a flat picture is as close."""
MAX_RATIO = 2.0
"""Between the deviations of generated and of encoded latents, either way."""
ADVICE = "set autoencoder: {scaling_factor: ...} in the domain's file to what the model was trained with"


@dataclass(frozen=True)
class Scaling:
    """What a short inversion and generation say of a scaling factor."""

    factor: float
    error: float
    """Deviation of (x_0 returned - x_0) / deviation of x_0."""
    ratio: float
    """Deviation of x_0 generated from noise / deviation of encoded x_0: 1 where the factor is right."""

    @property
    def is_right(self) -> bool:
        """Whether both are what a model gives that was trained with this factor."""
        return self.error < MAX_ERROR and 1 / MAX_RATIO < self.ratio < MAX_RATIO

    def __str__(self) -> str:
        found = (
            f"images come back from {NUM_STEPS} steps of inversion and generation with an error of {self.error:.2f} of "
            f"their deviation; latents made from noise deviate {self.ratio:.2f} times as much as those of images"
        )
        if self.is_right:
            return f"scaling_factor {self.factor:g} fits: {found}"
        return (
            f"scaling_factor {self.factor:g} does not fit the diffusion model: {found}. One near "
            f"{self.factor * self.ratio:.3g} would make them equal"
        )


@torch.no_grad()
def measure_scaling(domain: Domain) -> Scaling:
    """Invert a few training images of a domain of latents, generate them again, and as many from noise.

    Raises ValueError for a domain of pixels.
    """
    if domain.autoencoder is None:
        raise ValueError(f"domain {domain.name} works on pixels")
    any_attribute = next(iter(ATTRIBUTES.values()))  # training images are the same for all of them
    count = min(NUM_IMAGES, domain.images.count("train"))
    x_0 = domain.to_latent(domain.load_images(domain.images.ids("train", count, any_attribute)))
    timesteps = timestep_sequence(NUM_STEPS, domain.diffusion.t_max)
    returned = generate(domain.diffusion, invert(domain.diffusion, x_0, timesteps, 1), timesteps)
    noise = torch.randn(x_0.shape, generator=generator_for(0, "scaling factor")).to(domain.device)
    made = generate(domain.diffusion, noise, timesteps)
    return Scaling(
        domain.autoencoder.spec.scaling_factor, _relative_error(returned, x_0), float(made.std() / x_0.std())
    )


@dataclass(frozen=True)
class ScalingTask:
    """A domain's factor is to be measured; plain data, so it can travel to a worker."""

    domain: str
    cache_name: str
    """Folder of what preparation leaves for this domain."""

    def kept(self, cache_dir: Path) -> Path:
        """Where what was measured is."""
        return cache_dir / self.cache_name / "scaling.safetensors"


def scaling_tasks(domains: Iterable[str]) -> list[ScalingTask]:
    """What `check_scaling` wants to be known: of every domain of latents whose file does not do without."""
    found = []
    for name in dict.fromkeys(domains):
        summary = domain_summary(name)
        own = None if summary.source is None else summary.source.domain.autoencoder
        if summary.latents is not None and (own is None or own.check_scaling):
            found.append(ScalingTask(name, summary.cache_name))
    return found


def read_scaling(task: ScalingTask, cache_dir: Path) -> Scaling | None:
    """What was measured; None where it is not there, or damaged."""
    kept = read_tensors(task.kept(cache_dir))
    return None if kept is None else Scaling(**{name: float(value) for name, value in kept.items()})


def run_scaling(task: ScalingTask, cache_dir: Path, device: str = "cpu") -> None:
    """Measure a domain's factor and keep what was found. Idempotent."""
    if read_scaling(task, cache_dir) is None:
        found = vars(measure_scaling(load_domain(task.domain, device)))
        save_tensors(task.kept(cache_dir), {name: torch.tensor(found[name]) for name in found}, {})


def check_scaling(task: ScalingTask, cache_dir: Path) -> None:
    """Raises UserError where a factor that was measured does not fit."""
    found = read_scaling(task, cache_dir)
    if found is not None and not found.is_right:
        raise UserError(
            f"domain {domain_summary(task.domain).name}: {found}; {ADVICE}, or add `check_scaling: false` to it where "
            "this is meant"
        )


def latent_notes(domain: Domain, images: CachedImages) -> Iterator[str]:
    """What a reader of a trial on latents should know: how pictures were decoded, and whether images come back.

    Nothing for a domain of pixels.
    """
    if domain.autoencoder is None:
        return
    spec = domain.autoencoder.spec
    if spec.kind == "VQModel":
        how = "through" if spec.quantises else "without"
        yield (
            f"pictures that are shown and measured are decoded {how} the codes of the VQModel, the training loss "
            "without (autoencoder.quantise)"
        )
    batch = images.batch(range(min(len(images), NUM_NOTED)))
    error = _relative_error(batch.reconstruction, batch.original)
    if error >= MAX_ERROR:
        yield (
            f"images do not come back from inversion and generation: the error is {error:.2f} of their deviation. The "
            f"autoencoder's scaling_factor {spec.scaling_factor:g} may be wrong: asyrp-sweep doctor --domain D --try"
        )


def _relative_error(returned: Tensor, original: Tensor) -> float:
    """(B, ...) twice."""
    return float((returned - original).std() / original.std())
