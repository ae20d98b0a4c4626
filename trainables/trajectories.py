"""The part of a trial that never changes, computed once and shared by every trial.

The inversion x_T, the reconstruction, the unedited P_t at every trained timestep and the CLIP embedding of the
original depend only on the domain, the image and the step counts (method.md section 13). One safetensors file
per image holds them; it is written atomically, so a killed preparation goes on with the images that are missing.

Legend: B images, T trained timesteps, C channels, H x W pixels in [-1, 1], D CLIP width.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.attributes import ATTRIBUTES
from trainables.config import CellConfig
from trainables.diffusion import generate, invert, timestep_sequence, training_timesteps, unedited_trajectory
from trainables.domains import Domain, domain_image_ids, domain_summary, load_domain
from trainables.domains.images import Split

IMAGES_PER_TASK = 8
"""Images of one preparation task: enough to be worth a worker's call, few enough to share the work evenly."""


@dataclass(frozen=True)
class PreparationTask:
    """Some images to invert; plain data, so it can travel to a worker."""

    domain: str
    fingerprint: str
    split: Split
    image_ids: tuple[str, ...]
    num_inversion_steps: int
    num_sample_steps: int
    lowest_t: int | None
    """P_t is kept for every t of the sequence from here up; None keeps none (held-out images)."""


@dataclass(frozen=True)
class CachedBatch:
    """What trials read of B images; all on the CPU."""

    original: Tensor  # (B, C, H, W)
    x_T: Tensor  # (B, C, H, W)
    reconstruction: Tensor  # (B, C, H, W)
    embedding: Tensor  # (B, D)
    p_t: Tensor | None  # (B, T, C, H, W), t descending; None for held-out images
    eps_first: Tensor | None  # (B, C, H, W): eps at the first step, the same for every editor


@dataclass(frozen=True)
class CachedImages:
    """A split's cached images. Files are memory-mapped: processes of one node share their pages."""

    image_ids: tuple[str, ...]
    _paths: tuple[Path, ...]
    _num_trained: int
    """T; 0 for held-out images."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def batch(self, rows: Sequence[int]) -> CachedBatch:
        """The images at these positions."""
        read = [_read(self._paths[row], self._num_trained) for row in rows]
        stacked = {name: torch.stack([image[name] for image in read]) for name in read[0]}
        return CachedBatch(**{field.name: stacked.get(field.name) for field in fields(CachedBatch)})  # type: ignore[arg-type]  # absent only where None is allowed


def _path(cache_dir: Path, task: PreparationTask, image_id: str) -> Path:
    steps = f"invert-{task.num_inversion_steps}_sample-{task.num_sample_steps}"
    return cache_dir / task.fingerprint / steps / f"{image_id.replace('/', '__')}.safetensors"


def _covers(path: Path, lowest_t: int | None) -> bool:
    """Whether the file exists, is whole, and reaches down to `lowest_t`."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            kept_from = int((file.metadata() or {}).get("lowest_t", "1000"))
    except Exception:  # A truncated file is as good as none: it is computed again and replaced.
        return False
    return lowest_t is None or kept_from <= lowest_t


def _split_task(config: CellConfig, split: Split) -> PreparationTask:
    """All images of a split that the trials of this configuration read, as one task."""
    training, evaluation = config.training, config.evaluation
    in_training = split == "train"
    count = training.num_images if in_training else evaluation.num_images
    return PreparationTask(
        domain=config.domain,
        fingerprint=domain_summary(config.domain).fingerprint,
        split=split,
        image_ids=tuple(domain_image_ids(config.domain, split, count, ATTRIBUTES[config.attribute])),
        num_inversion_steps=training.num_train_steps,
        num_sample_steps=training.num_train_steps if in_training else evaluation.num_sample_steps,
        lowest_t=training.t_edit if in_training else None,
    )


def preparation_tasks(config: CellConfig, cache_dir: Path) -> list[PreparationTask]:
    """The tasks still to run before trials of this configuration can start; none when all is cached."""
    tasks = []
    for split in ("train", "test"):
        whole = _split_task(config, split)
        missing = [i for i in whole.image_ids if not _covers(_path(cache_dir, whole, i), whole.lowest_t)]
        for start in range(0, len(missing), IMAGES_PER_TASK):
            chunk = tuple(missing[start : start + IMAGES_PER_TASK])
            tasks.append(replace(whole, image_ids=chunk))
    return tasks


@torch.no_grad()
def run_preparation(task: PreparationTask, cache_dir: Path, device: str = "cpu") -> None:
    """Invert, reconstruct and cache images. Idempotent; each image's file appears whole or not at all."""
    domain = load_domain(task.domain, device)
    kept_from = "1000" if task.lowest_t is None else str(task.lowest_t)
    for image_id in task.image_ids:
        path = _path(cache_dir, task, image_id)
        if not _covers(path, task.lowest_t):
            _write(path, _prepared(domain, task, image_id), {"lowest_t": kept_from})


def _prepared(domain: Domain, task: PreparationTask, image_id: str) -> dict[str, Tensor]:
    """An image's cached tensors, without a batch axis.

    One image at a time: in a batch, its last bits would depend on who shares it, and a preparation that was killed
    and taken up again would not give the same trials.
    """
    original = domain.load_images([image_id])
    x_T = invert(domain.diffusion, original, timestep_sequence(task.num_inversion_steps))
    found = {"original": original, "x_T": x_T, "embedding": domain.clip.image(original)}
    if task.lowest_t is None:
        found["reconstruction"] = generate(domain.diffusion, x_T, timestep_sequence(task.num_sample_steps))
    else:
        steps = list(unedited_trajectory(domain.diffusion, x_T, timestep_sequence(task.num_sample_steps)))
        found["p_t"] = torch.stack([step.p_t for step in steps if step.t >= task.lowest_t], dim=1)
        found["eps_first"] = steps[0].eps
        found["reconstruction"] = steps[-1].p_t  # the last step ends at P_t of the lowest t
    return {name: tensor[0].contiguous().cpu() for name, tensor in found.items()}


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    save_file(tensors, temporary, metadata=metadata)
    temporary.replace(path)


def load_cached(config: CellConfig, split: Split, cache_dir: Path) -> CachedImages:
    """The cached images of a split, in the order of their ids; P_t from t_edit up.

    Raises FileNotFoundError, naming the image, when preparation has not run.
    """
    task = _split_task(config, split)
    paths = tuple(_path(cache_dir, task, image_id) for image_id in task.image_ids)
    for image_id, path in zip(task.image_ids, paths, strict=True):
        if not _covers(path, task.lowest_t):
            raise FileNotFoundError(f"{path}: image {image_id} has not been prepared for this configuration")
    trained = training_timesteps(config.training.num_train_steps, config.training.t_edit)
    return CachedImages(task.image_ids, paths, len(trained) if split == "train" else 0)


def _read(path: Path, num_trained: int) -> dict[str, Tensor]:
    """One image's tensors; of P_t only the trained timesteps are read from disk."""
    with safe_open(path, framework="pt") as file:
        kept = set(file.keys())  # safe_open is no mapping: it has keys() but cannot be iterated
        names = [name for name in sorted(kept) if name != "p_t" and (num_trained or name != "eps_first")]
        row: dict[str, Tensor] = {name: file.get_tensor(name) for name in names}
        if num_trained:
            row["p_t"] = file.get_slice("p_t")[:num_trained]
    return row
