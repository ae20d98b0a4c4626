"""The part of a trial that never changes, computed once and shared by every trial.

The inversion x_T, the reconstruction, the unedited P_t at every trained timestep and the CLIP embedding of the
original depend only on the domain, the image and the step counts (method.md section 13). One safetensors file
per image holds them; it is written atomically, so a killed preparation goes on with the images that are missing.
What a configuration needs beyond that (a lower t_edit, embeddings of P_t) is added to the file when it is asked for.

Legend: B images, T trained timesteps, C channels, H x W pixels in [-1, 1], x those or latents, D CLIP width.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_image_ids, domain_summary
from trainables.h_space.domains.images import Split
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editing_interval import IntervalTask, interval_tasks, resolved, run_interval
from trainables.h_space.references import ReferenceTask, num_embeddings, reference_tasks, run_reference
from trainables.h_space.timesteps import Step, training_timesteps
from trainables.h_space.trajectory_files import (
    IMAGES_PER_TASK,
    PreparationTask,
    covers,
    fill,
    num_passes,
    path_of,
    read,
)
from trainables.h_space.unedited import KeptPictures, UneditedTask, run_unedited, unedited_tasks

Preparation = PreparationTask | IntervalTask | ReferenceTask | UneditedTask
"""What is computed before trials start; plain data, so it can travel to a worker."""

_OF_EVERY_IMAGE = {"original", "x_T", "reconstruction", "embedding"}


@dataclass(frozen=True)
class CachedBatch:
    """What trials read of B images; all on the CPU."""

    original: Tensor  # (B, C, H, W) pixels
    x_T: Tensor  # (B, *x)
    reconstruction: Tensor  # (B, C, H, W) pixels
    embedding: Tensor  # (B, D)
    p_t: Tensor | None = None  # (B, T, *x), t descending; None for held-out images
    eps_first: Tensor | None = None  # (B, *x): eps at the first step, the same for every editor
    p_embedding: Tensor | None = None  # (B, T, D): of P_t; None where the configuration does not ask for it


@dataclass(frozen=True)
class CachedImages:
    """A split's cached images. Files are memory-mapped: processes of one node share their pages."""

    image_ids: tuple[str, ...]
    _paths: tuple[Path, ...]
    _num_trained: int
    """T; 0 for held-out images."""
    _embeds_p_t: bool = False

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, rows: Sequence[int]) -> CachedBatch:
        """The images at these positions; of what runs along the timesteps only the trained ones are read."""
        names = _OF_EVERY_IMAGE | ({"p_t", "eps_first"} if self._num_trained else set())
        names |= {"p_embedding"} if self._embeds_p_t else set()
        images = [read(self._paths[row], names, self._num_trained) for row in rows]
        return CachedBatch(**{name: torch.stack([image[name] for image in images]) for name in names})


def unedited_states(
    eps_first: Tensor, p_t: Tensor, timesteps: Sequence[Step], diffusion: FrozenDiffusion
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x_t, eps) of the unedited process at each trained timestep, noisy to clean, without a pass of the U-Net.

        x_t = sqrt(ᾱ_t) P_t + sqrt(1 - ᾱ_t) eps_t
        eps_{t-1} = eps_t + sqrt(ᾱ_{t-1} / (1 - ᾱ_{t-1})) (P_t - P_{t-1})

    The second line is the DDIM step solved for the next eps: what the cache keeps, eps (B, C, H, W) at the first
    timestep and all P_t (B, T, C, H, W), already holds the whole process. Tensors are (B, C, H, W).
    """
    eps, previous = eps_first, None
    for position, (t, _) in enumerate(timesteps):
        alpha_bar_t, here = diffusion.alpha_bar_at(t), p_t[:, position].to(eps_first)
        if previous is not None:
            eps = eps + (alpha_bar_t / (1 - alpha_bar_t)).sqrt() * (previous - here)
        previous = here
        yield alpha_bar_t.sqrt() * here + (1 - alpha_bar_t).sqrt() * eps, eps


def preparation_tasks(config: CellConfig, cache_dir: Path) -> list[Preparation]:
    """The tasks still to run before trials of this configuration can start; none when all is cached.

    They come in stages: while `t_edit: auto` is open, only what finds it and what does without it. Run them and ask
    again until nothing is missing.
    """
    references = reference_tasks(config, cache_dir)
    if finding := interval_tasks(config, cache_dir):
        return [*references, *finding, *_missing(_split_task(config, "held_out"), cache_dir)]
    known = resolved(config, cache_dir)
    images = [task for role in _ROLES for task in _missing(_split_task(known, role), cache_dir)]
    return [*references, *images]


def picture_tasks(configs: Iterable[CellConfig], cache_dir: Path) -> list[UneditedTask]:
    """What is still to be seen in unedited held-out pictures once all `preparation_tasks` have run.

    Each piece once, whichever trials share it.
    """
    missing = [unedited_tasks(one, _split_task(one, "held_out"), cache_dir) for one in configs]
    return list({path: task for tasks in missing for path, task in tasks.items()}.values())


Role = Literal["train", "held_out"]
"""What images are for: held out are those of `evaluation.split`."""
_ROLES: tuple[Role, ...] = ("train", "held_out")


def _split_task(config: CellConfig, role: Role) -> PreparationTask:
    """All images that the trials of this configuration read for training, or for measuring, as one task."""
    training, evaluation = config.training, config.evaluation
    in_training = role == "train"
    split: Split = "train" if in_training else evaluation.split
    count = training.num_images if in_training else evaluation.num_images
    return PreparationTask(
        domain=config.domain,
        cache_name=domain_summary(config.domain).cache_name,
        split=split,
        image_ids=tuple(
            domain_image_ids(
                config.domain, split, count, config.edit, config.image_seed, held_out=evaluation.split
            )
        ),
        num_inversion_steps=training.num_train_steps,
        num_refinements=training.inversion_refinements,
        num_sample_steps=training.num_train_steps if in_training else evaluation.num_sample_steps,
        lowest_t=training.lowest_t if in_training else None,
        embeds_p_t=in_training and training.clip_reference == "unedited",
    )


def _missing(whole: PreparationTask, cache_dir: Path) -> Iterator[PreparationTask]:
    """The images of a task whose files are not there or hold too little, in chunks."""
    missing = tuple(i for i in whole.image_ids if not covers(path_of(cache_dir, whole, i), whole))
    return _chunks(whole, missing)


def _chunks(task: PreparationTask, image_ids: tuple[str, ...]) -> Iterator[PreparationTask]:
    for start in range(0, len(image_ids), IMAGES_PER_TASK):
        yield replace(task, image_ids=image_ids[start : start + IMAGES_PER_TASK])


def merged(tasks: Iterable[Preparation]) -> list[Preparation]:
    """The same work with every image's file filled once, with all that any of the tasks keeps there.

    Two workers at one file would both compute it, and the one that ends last might leave less than the other.
    """
    others: dict[Preparation, None] = {}
    by_file: dict[PreparationTask, PreparationTask] = {}
    for task in tasks:
        if not isinstance(task, PreparationTask):
            others[task] = None
            continue
        for image_id in task.image_ids:
            one = replace(task, image_ids=(image_id,))
            file = replace(one, lowest_t=None, embeds_p_t=False)
            by_file[file] = _joint(by_file.get(file, one), one)
    alike: dict[PreparationTask, list[str]] = {}
    for need in by_file.values():
        alike.setdefault(replace(need, image_ids=()), []).extend(need.image_ids)
    return [*others, *(chunk for task, ids in alike.items() for chunk in _chunks(task, tuple(ids)))]


def _joint(a: PreparationTask, b: PreparationTask) -> PreparationTask:
    """The task that keeps all that two tasks for the same image keep."""
    lowest = [task.lowest_t for task in (a, b) if task.lowest_t is not None]
    return replace(a, lowest_t=min(lowest, default=None), embeds_p_t=a.embeds_p_t or b.embeds_p_t)


@dataclass(frozen=True)
class PreparationWork:
    """What is missing before trials can start, in the units that a pilot times."""

    passes: int = 0
    """Passes of the U-Net, one image each."""
    images: int = 0
    """Embedded in CLIP, one at a time."""
    texts: int = 0
    """Embedded in every prompt template."""
    prompts: int = 0
    """Texts embedded without a template."""
    pictures: int = 0
    """Unedited ones, seen by all that an evaluation looks with, in batches."""
    steps: int = 0
    """Sampling steps, one image each, in batches."""

    def __add__(self, other: "PreparationWork") -> "PreparationWork":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return PreparationWork(*(one + another for one, another in pairs))

    def __bool__(self) -> bool:
        return any(vars(self).values())


def preparation_work(configs: Iterable[CellConfig], cache_dir: Path) -> PreparationWork:
    """The work that is missing before trials of these configurations can start.

    While `t_edit: auto` is open, training images count as if nothing were cached of them: the most it can be.
    """
    tasks: list[Preparation] = []
    configs = list(configs)
    for config in configs:
        tasks += preparation_tasks(config, cache_dir)
        if interval_tasks(config, cache_dir):
            deepest = config.training.model_copy(update={"t_edit": 0})
            tasks += _missing(
                _split_task(config.model_copy(update={"training": deepest}), "train"), cache_dir
            )
    tasks += picture_tasks(configs, cache_dir)
    return sum((_work_of(task, cache_dir) for task in merged(tasks)), PreparationWork())


def _work_of(task: Preparation, cache_dir: Path) -> PreparationWork:
    if isinstance(task, IntervalTask):
        points = len(task.image_ids) * task.num_steps  # each compared with its image, twice
        return PreparationWork(points, 4 * points, prompts=len(task.prompts or ()))
    if isinstance(task, ReferenceTask):
        texts, prompts, images = num_embeddings(task)
        return PreparationWork(0, images, texts, prompts)
    if isinstance(task, UneditedTask):
        return PreparationWork(pictures=task.num_pictures, steps=task.num_steps_taken)
    num_states = _num_states(task) if task.embeds_p_t else 0
    passes = sum(num_passes(path_of(cache_dir, task, i), task) for i in task.image_ids)
    return PreparationWork(passes, len(task.image_ids) * (1 + num_states))


def _num_states(task: PreparationTask) -> int:
    """Timesteps at which a task keeps P_t."""
    t_max = domain_summary(task.domain).t_max
    return len(training_timesteps(task.num_sample_steps, task.lowest_t or 0, t_max))


@torch.no_grad()
def run_preparation(task: Preparation, cache_dir: Path, device: str = "cpu") -> None:
    """Invert and cache images, find t_edit, embed texts, or look at unedited pictures.

    Idempotent; files appear whole or not at all.
    """
    if isinstance(task, IntervalTask):
        run_interval(task, cache_dir, device)
        return
    if isinstance(task, ReferenceTask):
        run_reference(task, cache_dir, device)
        return
    if isinstance(task, UneditedTask):
        run_unedited(task, cache_dir, device)
        return
    domain = load_domain(task.domain, device)
    missing = [i for i in task.image_ids if not covers(path_of(cache_dir, task, i), task)]
    for start in range(0, len(missing), IMAGES_PER_TASK):
        fill(cache_dir, domain, task, missing[start : start + IMAGES_PER_TASK])


def load_cached(config: CellConfig, role: Role, cache_dir: Path) -> CachedImages:
    """The cached images for training, or those held out, in the order of their ids; P_t from t_edit up.

    Raises FileNotFoundError, naming the image, when preparation has not run; ValueError while t_edit is "auto".
    """
    task = _split_task(config, role)
    paths = tuple(path_of(cache_dir, task, image_id) for image_id in task.image_ids)
    for image_id, path in zip(task.image_ids, paths, strict=True):
        if not covers(path, task):
            raise FileNotFoundError(f"{path}: image {image_id} has not been prepared for this configuration")
    trained = training_timesteps(
        config.training.num_train_steps, config.training.lowest_t, domain_summary(config.domain).t_max
    )
    num_trained = len(trained) if role == "train" else 0
    return CachedImages(task.image_ids, paths, num_trained, task.embeds_p_t)


def kept_pictures(config: CellConfig, cache_dir: Path) -> KeptPictures:
    """What preparation left of the unedited held-out pictures of this configuration."""
    return KeptPictures.of(config, _split_task(config, "held_out"), cache_dir)
