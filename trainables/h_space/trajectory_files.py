"""The files of the trajectory cache: one safetensors per image, and what has to be computed to fill one.

Legend: T timesteps, x (C, H, W) pixels in [-1, 1] or latents, D CLIP width. Originals and reconstructions are pictures.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trainables.atomic import save_tensors
from trainables.h_space.diffusion import generate, invert, num_inversion_passes, unedited_trajectory
from trainables.h_space.domains.images import Split
from trainables.h_space.domains.loading import Domain
from trainables.h_space.timesteps import timestep_sequence

IMAGES_PER_TASK = 8
"""Images of one preparation task: enough to be worth a worker's call, few enough to share the work evenly."""

_LARGE = 64 * 64 * 3
"""Numbers of an x that keep a core busy by itself, as those of published models do."""

_LONGEST_STEM = 150
"""Bytes; file systems end at 255, and a file has a longer name while it is written."""

_NO_P_T = 10**9
"""What a file's `lowest_t` says when it holds no P_t: above every timestep."""


@dataclass(frozen=True)
class PreparationTask:
    """Some images to invert; plain data, so it can travel to a worker."""

    domain: str
    cache_name: str
    """Folder of what preparation leaves for this domain."""
    split: Split
    image_ids: tuple[str, ...]
    num_inversion_steps: int
    num_refinements: int
    num_sample_steps: int
    lowest_t: int | None
    """P_t is kept for every t of the sequence from here up; None keeps none (held-out images)."""
    embeds_p_t: bool = False
    """Whether the CLIP embedding of every P_t is kept as well."""

    @property
    def inversion(self) -> str:
        """Name of the inversion in the cache; one that is computed otherwise gets another name."""
        return f"invert-{self.num_inversion_steps}r{self.num_refinements}"


def images_at_once(domain: Domain) -> int:
    """Images that go through the U-Net together; another number would move the last bits of what is cached.

    Eight share what a pass costs a GPU or a small model. On a CPU an image of a large one costs the same alone, and
    eight would be paid for where a task has fewer, with eight times the memory.
    """
    is_large = domain.device.type == "cpu" and prod(domain.diffusion.x_shape) >= _LARGE
    return 1 if is_large else IMAGES_PER_TASK


def path_of(cache_dir: Path, task: PreparationTask, image_id: str) -> Path:
    """Where one image of a task is kept."""
    steps = f"{task.inversion}_sample-{task.num_sample_steps}"
    return cache_dir / task.cache_name / steps / f"{_file_stem(image_id)}.safetensors"


def _file_stem(image_id: str) -> str:
    """One name for one id: `train__a.png` for `train/a.png`; others by a digest, so that no two share a file."""
    flat = image_id.replace("/", "__", 1)
    if "/" not in flat and len(flat.encode()) <= _LONGEST_STEM:
        return flat
    return f"{flat.partition('__')[0][:20]}__{hashlib.sha256(image_id.encode()).hexdigest()}"


def covers(path: Path, task: PreparationTask) -> bool:
    """Whether the file exists, is whole, and holds all that the task is to keep."""
    names, lowest_t = _kept(path)
    is_deep_enough = task.lowest_t is None or lowest_t <= task.lowest_t
    return bool(names) and is_deep_enough and (not task.embeds_p_t or "p_embedding" in names)


def num_passes(path: Path, task: PreparationTask) -> int:
    """U-Net passes that filling one image's file takes."""
    names, lowest_t = _kept(path)
    if names and (task.lowest_t is None or lowest_t <= task.lowest_t):
        return 0
    return task.num_sample_steps + (
        0 if "x_T" in names else num_inversion_passes(task.num_inversion_steps, task.num_refinements)
    )


def fill(cache_dir: Path, domain: Domain, task: PreparationTask, image_ids: Sequence[str]) -> None:
    """Compute what the files of up to `IMAGES_PER_TASK` images lack and add it.

    Each file appears whole, and never holds less than before.
    """
    wanted_t = _NO_P_T if task.lowest_t is None else task.lowest_t
    files = [_File(path_of(cache_dir, task, image_id), image_id) for image_id in image_ids]
    shallow = [file for file in files if not file.names or wanted_t < file.lowest_t]
    _invert([file for file in shallow if not file.names], domain, task)
    _descend(shallow, domain, task, wanted_t)
    for file in files:
        if (task.embeds_p_t or "p_embedding" in file.names) and "p_embedding" not in file.found:
            file.found["p_embedding"] = _each(domain.embed, file.found["p_t"].to(domain.device))
        save_tensors(
            file.path,
            {name: value.contiguous().cpu() for name, value in file.found.items()},
            {"lowest_t": str(file.lowest_t)},
        )


def read(path: Path, names: set[str], num_trained: int | None = None) -> dict[str, Tensor]:
    """The named tensors of one image, of those along the timesteps only the first `num_trained`."""
    if not names:
        return {}
    with safe_open(path, framework="pt") as file:
        return {
            name: file.get_slice(name)[:num_trained] if name in _ALONG_TIMESTEPS else file.get_tensor(name)
            for name in sorted(names)
        }


_ALONG_TIMESTEPS = {"p_t", "p_embedding"}


def _kept(path: Path) -> tuple[set[str], int]:
    """(names of the tensors, lowest t of P_t) of a whole file; no names where there is none."""
    if not path.is_file():
        return set(), _NO_P_T
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys()), int((file.metadata() or {}).get("lowest_t", _NO_P_T))
    except (
        SafetensorError,
        ValueError,
    ):  # A truncated file is as good as none: it is computed again and replaced.
        return set(), _NO_P_T


class _File:
    """An image's file as it is, and the tensors, without a batch axis, that are to be written there."""

    def __init__(self, path: Path, image_id: str) -> None:
        self.path, self.image_id = path, image_id
        self.names, self.lowest_t = _kept(path)
        self.found = read(path, self.names)


def _invert(files: Sequence[_File], domain: Domain, task: PreparationTask) -> None:
    """Add what does not depend on how deep the way back goes."""
    climbed = timestep_sequence(task.num_inversion_steps, domain.diffusion.t_max)

    def compute(original: Tensor) -> dict[str, Tensor]:
        x_T = invert(domain.diffusion, domain.to_latent(original), climbed, task.num_refinements)
        return {"original": original, "x_T": x_T, "embedding": domain.clip.image(original)}

    originals = [domain.load_images([file.image_id])[0] for file in files]
    for file, tensors in zip(files, _in_batches(compute, originals, domain), strict=True):
        file.found = tensors


def _descend(files: Sequence[_File], domain: Domain, task: PreparationTask, lowest_t: int) -> None:
    """Add the way back, with P_t down to `lowest_t`, in place of a way that was not as deep."""
    timesteps = timestep_sequence(task.num_sample_steps, domain.diffusion.t_max)

    def compute(x_T: Tensor) -> dict[str, Tensor]:
        if lowest_t == _NO_P_T:
            return {"reconstruction": domain.to_pictures(generate(domain.diffusion, x_T, timesteps))}
        steps = list(unedited_trajectory(domain.diffusion, x_T, timesteps))
        return {
            "p_t": torch.stack([step.p_t for step in steps if step.t >= lowest_t], dim=1),
            "eps_first": steps[0].eps,
            "reconstruction": domain.to_pictures(steps[-1].p_t),  # the last step ends at P_t of the lowest t
        }

    starts = [file.found["x_T"] for file in files]
    for file, tensors in zip(files, _in_batches(compute, starts, domain), strict=True):
        file.found = {name: file.found[name] for name in ("original", "x_T", "embedding")} | tensors
        file.lowest_t = lowest_t


def _in_batches(
    compute: Callable[[Tensor], dict[str, Tensor]], images: Sequence[Tensor], domain: Domain
) -> list[dict[str, Tensor]]:
    """What `compute` gives for each image (C, H, W), from batches that all have the same size.

    With another size its last bits would depend on who shares the batch, and a preparation that was killed and
    taken up again would not give the same trials. So a smaller rest is filled up with its last image.
    """
    size, results = images_at_once(domain), []
    for start in range(0, len(images), size):
        group = images[start : start + size]
        padding = [group[-1]] * (size - len(group))
        batch = compute(torch.stack([*group, *padding]).to(domain.device))
        results += [{name: tensor[row] for name, tensor in batch.items()} for row in range(len(group))]
    return results


def _each(embed: Callable[[Tensor], Tensor], p_t: Tensor) -> Tensor:
    """(T, D) embeddings of (T, C, H, W), one at a time, so that none depends on how many there are."""
    return torch.cat([embed(picture[None]) for picture in p_t])
