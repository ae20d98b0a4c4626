"""t_edit and t_boost from perceptual-distance curves: `training.t_edit: auto`.

Along a DDIM inversion of some training images, two distances to the image x_0 are taken at every t:

    predicted(t) = mean over images of d(P_t, x_0)        noisy(t) = mean over images of d(x_t, x_0)

    t_edit  = the first t with predicted(t) >= 0.33 c     c: cosine of the two bare prompts
    t_boost = the first t with noisy(t) >= 1.2

(Kwon et al. 2023, section 3.4, "editing interval" and "quality boosting"; numbers as in the published code, method.md
section 5.) d is AlexNet's LPIPS, as published, where the domain has its weights. Departure: where it has not, d is the
domain's own distance (`ClipModel.perceptual_distance`), on another scale; `interval` in the domain's file may state
thresholds of its own, and the published ones stand where it does not.
Departure: the published code measures at all 1000 timesteps of 100 images, and files each P_t under the timestep
after its own.

The curves depend on the domain alone, the cosine on the attribute's texts. Both are kept in the trajectory cache, in
files that appear whole, so a killed computation goes on with what is missing.

Legend: B images, N images in all, T timesteps.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trainables.atomic import save_tensors
from trainables.errors import UserError
from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import asymmetric_step, predicted_x0
from trainables.h_space.domains import domain_image_ids, domain_summary
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.domains.thresholds import IntervalThresholds
from trainables.h_space.losses import guarded_cosine
from trainables.h_space.timesteps import timestep_sequence

NUM_IMAGES = 16
NUM_STEPS = 100
"""Steps of the curves behind `auto` (published: 100 images, 1000 steps). With fewer the inversion itself drifts."""
IMAGES_PER_TASK = 8


DistanceName = Literal["lpips", "clip"]


DISTANCES: dict[DistanceName, str] = {"lpips": "LPIPS", "clip": "the domain's CLIP features"}


class IntervalError(UserError):
    """The curves never reach a threshold, so that they tell no t; the message says what to do."""


@dataclass(frozen=True)
class IntervalTask:
    """A part of what `auto` needs; plain data, so it can travel to a worker."""

    domain: str
    cache_name: str
    image_ids: tuple[str, ...] = ()
    """Images whose curves to compute, together."""
    num_steps: int = NUM_STEPS
    distance: DistanceName = "clip"
    prompts: tuple[str, str] | None = None
    """In place of images: two bare texts whose cosine to compute."""


@dataclass(frozen=True)
class Curves:
    """Perceptual distances to the image along the inversion."""

    timesteps: tuple[int, ...]
    """Ascending."""
    predicted: Tensor
    """(N, T): d(P_t, x_0)."""
    noisy: Tensor
    """(N, T): d(x_t, x_0)."""

    def t_edit(self, threshold: float) -> int:
        """The first t from which P_t is `threshold` away from the image; raises IntervalError."""
        return self._first(self.predicted, threshold, "P_t", "t_edit")

    def t_boost(self, threshold: float) -> int:
        """The first t from which x_t is `threshold` away from the image; raises IntervalError."""
        return self._first(self.noisy, threshold, "x_t", "t_boost")

    def _first(self, distances: Tensor, threshold: float, what: str, wanted: str) -> int:
        mean = distances.mean(dim=0).tolist()
        for t, distance in zip(self.timesteps, mean, strict=True):
            if distance >= threshold:
                return t
        raise IntervalError(
            f"{what} is never farther from its image than {max(mean):.3f}, and {wanted} is where it is "
            f"{threshold:.3f} away: give {wanted} a number"
        )


@dataclass(frozen=True)
class Interval:
    """What the rule gives for an attribute, and from what."""

    t_edit: int
    threshold: float
    """The domain's, times the cosine."""
    cosine: float
    """Cosine of the two bare prompts, or the floor where the cosine is lower."""


def interval_of(
    curves: Curves, prompt_cosine: float, min_prompt_cosine: float, thresholds: IntervalThresholds
) -> Interval:
    """t_edit of an attribute by the published rule, with the guard that the loss has as well.

    Raises IntervalError when the curve never reaches the threshold.
    """
    cosine, _ = guarded_cosine(prompt_cosine, min_prompt_cosine)
    threshold = thresholds.t_edit * cosine
    return Interval(curves.t_edit(threshold), threshold, cosine)


# What a configuration needs


def is_automatic(config: CellConfig) -> bool:
    """Whether the configuration leaves t_edit to the curves. 0 is a number like any other."""
    return config.training.t_edit == "auto"


def interval_tasks(config: CellConfig, cache_dir: Path) -> list[IntervalTask]:
    """What is still to be computed before `resolved` can tell; nothing where t_edit is given."""
    if not is_automatic(config):
        return []
    return missing_tasks(config.domain, [config.edit], cache_dir)


def resolved(config: CellConfig, cache_dir: Path) -> CellConfig:
    """The configuration with a number for t_edit; itself where it has one.

    Raises FileNotFoundError when the tasks of `interval_tasks` have not run, IntervalError when the curves
    never reach the threshold.
    """
    if not is_automatic(config):
        return config
    found = _automatic(config, cache_dir)
    training = config.training.model_copy(update={"t_edit": found.t_edit})
    return config.model_copy(update={"training": training})


def interval_notes(config: CellConfig, cache_dir: Path) -> list[str]:
    """What a reader of the record should know: which t_edit `auto` gave. Takes the configuration as written."""
    if not is_automatic(config):
        return []
    found = _automatic(config, cache_dir)
    return [
        f"training.t_edit auto is {found.t_edit}: from there up P_t is {found.threshold:.3f} away from its image, "
        f"{domain_summary(config.domain).interval.t_edit} times the prompt cosine {found.cosine:.3f} (mean over "
        f"{NUM_IMAGES} images, {NUM_STEPS} steps; distance by {distance_text(config.domain)})"
    ]


def _automatic(config: CellConfig, cache_dir: Path) -> Interval:
    cosine = read_cosine(config.domain, config.edit, cache_dir)
    thresholds = domain_summary(config.domain).interval
    return interval_of(
        read_curves(config.domain, cache_dir), cosine, config.training.min_prompt_cosine, thresholds
    )


# The cache


def distance_of(domain: str) -> DistanceName:
    """Which distance the curves of a domain are measured in; loads no model."""
    return "lpips" if "lpips" in domain_summary(domain).offers else "clip"


def distance_text(domain: str) -> str:
    """The distance by its name, and whose unit the thresholds are where it is another one."""
    distance = distance_of(domain)
    if distance != "lpips" and domain_summary(domain).interval.is_published:
        return f"{DISTANCES[distance]}, thresholds those published for LPIPS"
    return DISTANCES[distance]


def missing_tasks(
    domain: str,
    attributes: Iterable[Attribute],
    cache_dir: Path,
    num_images: int = NUM_IMAGES,
    num_steps: int = NUM_STEPS,
) -> list[IntervalTask]:
    """The chunks of images and the prompts of attributes that the cache does not hold yet.

    Raises DomainError when the domain cannot be read or has fewer training images.
    """
    cache_name = domain_summary(domain).cache_name
    chunks = _chunks(domain, cache_name, num_images, num_steps)
    cosines = [IntervalTask(domain, cache_name, prompts=_prompts(attribute)) for attribute in attributes]
    return [task for task in (*chunks, *cosines) if not _is_whole(_path(cache_dir, task))]


@torch.no_grad()
def run_interval(task: IntervalTask, cache_dir: Path, device: str = "cpu") -> None:
    """Compute a task and keep what it gives. Idempotent."""
    path = _path(cache_dir, task)
    if _is_whole(path):
        return
    domain = load_domain(task.domain, device)
    if task.prompts is not None:
        source, target = domain.clip.text(task.prompts)
        tensors = {"cosine": (target @ source).cpu()}
    else:
        curves = measure(domain, domain.load_images(list(task.image_ids)), task.num_steps)
        tensors = {"predicted": curves.predicted, "noisy": curves.noisy}
    save_tensors(path, tensors, {"of": json.dumps(_content(task))})


def read_curves(
    domain: str, cache_dir: Path, num_images: int = NUM_IMAGES, num_steps: int = NUM_STEPS
) -> Curves:
    """The cached curves of a domain. Raises FileNotFoundError when some are missing."""
    chunks = _chunks(domain, domain_summary(domain).cache_name, num_images, num_steps)
    read = [_read(_path(cache_dir, task)) for task in chunks]
    predicted, noisy = (torch.cat([chunk[name] for chunk in read]) for name in ("predicted", "noisy"))
    return Curves(tuple(timestep_sequence(num_steps, domain_summary(domain).t_max)), predicted, noisy)


def read_cosine(domain: str, attribute: Attribute, cache_dir: Path) -> float:
    """The cached cosine of an attribute's bare prompts. Raises FileNotFoundError when it is missing."""
    task = IntervalTask(domain, domain_summary(domain).cache_name, prompts=_prompts(attribute))
    return float(_read(_path(cache_dir, task))["cosine"])


@torch.no_grad()
def measure(domain: Domain, pictures: Tensor, num_steps: int) -> Curves:
    """The curves of B pictures (B, C, H, W), along the inversion S(num_steps, t_max)."""
    distance = domain.clip.perceptual_distance if domain.lpips is None else domain.lpips
    timesteps = timestep_sequence(num_steps, domain.diffusion.t_max)
    predicted, noisy = [], []
    x_t = domain.to_latent(pictures)
    for t, t_next in zip(timesteps, [*timesteps[1:], timesteps[-1]], strict=True):
        eps, alpha_bar_t = domain.diffusion.eps(x_t, t), domain.diffusion.alpha_bar_at(t)
        p_t = predicted_x0(x_t, eps, alpha_bar_t)
        predicted.append(distance(domain.to_pixels(p_t), pictures))
        noisy.append(distance(domain.to_pixels(x_t), pictures))
        x_t = asymmetric_step(x_t, eps, eps, alpha_bar_t, domain.diffusion.alpha_bar_at(t_next))
    return Curves(tuple(timesteps), torch.stack(predicted, dim=1).cpu(), torch.stack(noisy, dim=1).cpu())


def _chunks(domain: str, cache_name: str, num_images: int, num_steps: int) -> list[IntervalTask]:
    """The images in chunks that begin alike however many are asked: more images add chunks."""
    any_attribute = next(iter(ATTRIBUTES.values()))  # training images are the same for all of them
    ids = domain_image_ids(domain, "train", num_images, any_attribute)
    return [
        IntervalTask(
            domain, cache_name, tuple(ids[start : start + IMAGES_PER_TASK]), num_steps, distance_of(domain)
        )
        for start in range(0, len(ids), IMAGES_PER_TASK)
    ]


def _prompts(attribute: Attribute) -> tuple[str, str]:
    return attribute.source, attribute.target


def _content(task: IntervalTask) -> tuple[str, ...]:
    return task.image_ids if task.prompts is None else task.prompts


def _path(cache_dir: Path, task: IntervalTask) -> Path:
    """Named by content, so that the same images or texts are found again under whatever name they came."""
    name = f"{task.distance}_steps-{task.num_steps}" if task.prompts is None else "prompts"
    digest = hashlib.sha256(json.dumps(_content(task)).encode()).hexdigest()[:16]
    return cache_dir / task.cache_name / "interval" / f"{name}_{digest}.safetensors"


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except FileNotFoundError:
        return False
    return True


def _read(path: Path) -> dict[str, Tensor]:
    """A file's tensors; one that is damaged is as good as none."""
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise FileNotFoundError(f"{path}: what training.t_edit auto needs has not been prepared") from error
