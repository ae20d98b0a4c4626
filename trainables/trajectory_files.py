"""The files of the trajectory cache: one safetensors per image, and what has to be computed to fill one.

Legend: T timesteps, C channels, H x W pixels in [-1, 1], D CLIP width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from trainables.atomic import save_tensors
from trainables.diffusion import generate, invert, timestep_sequence, unedited_trajectory
from trainables.domains import Domain
from trainables.domains.images import Split

_NO_P_T = 1000
"""What a file's `lowest_t` says when it holds no P_t."""


@dataclass(frozen=True)
class PreparationTask:
    """Some images to invert; plain data, so it can travel to a worker."""

    domain: str
    fingerprint: str
    split: Split
    image_ids: tuple[str, ...]
    num_inversion_steps: int
    num_refinements: int
    num_sample_steps: int
    lowest_t: int | None
    """P_t is kept for every t of the sequence from here up; None keeps none (held-out images)."""
    embeds_p_t: bool = False
    """Whether the CLIP embedding of every P_t is kept as well."""


def path_of(cache_dir: Path, task: PreparationTask, image_id: str) -> Path:
    """Where one image of a task is kept."""
    steps = f"invert-{task.num_inversion_steps}x{1 + task.num_refinements}_sample-{task.num_sample_steps}"
    return cache_dir / task.fingerprint / steps / f"{image_id.replace('/', '__')}.safetensors"


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
    inversion = (task.num_inversion_steps - 1) * (1 + task.num_refinements)
    return task.num_sample_steps + (0 if "x_T" in names else inversion)


def fill(path: Path, domain: Domain, task: PreparationTask, image_id: str) -> None:
    """Compute what an image's file lacks and add it; the file appears whole, and never holds less than before."""
    names, lowest_t = _kept(path)
    found = read(path, names)
    wanted_t = _NO_P_T if task.lowest_t is None else task.lowest_t
    if not found or wanted_t < lowest_t:
        lowest_t = min(wanted_t, lowest_t)
        found = _trajectory(domain, task, image_id, lowest_t, found)
    if (task.embeds_p_t or "p_embedding" in names) and "p_embedding" not in found:
        found["p_embedding"] = _each(domain.clip.image, found["p_t"].to(domain.device))
    save_tensors(
        path, {name: value.contiguous().cpu() for name, value in found.items()}, {"lowest_t": str(lowest_t)}
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
    except Exception:  # A truncated file is as good as none: it is computed again and replaced.
        return set(), _NO_P_T


def _trajectory(
    domain: Domain, task: PreparationTask, image_id: str, lowest_t: int, known: dict[str, Tensor]
) -> dict[str, Tensor]:
    """An image's tensors, without a batch axis; of the known ones, what is the same however deep it goes is kept.

    One image at a time: in a batch, its last bits would depend on who shares it, and a preparation that was killed
    and taken up again would not give the same trials.
    """
    found = {name: known[name][None].to(domain.device) for name in ("original", "x_T", "embedding") if known}
    if not found:
        original = domain.load_images([image_id])
        climbed = timestep_sequence(task.num_inversion_steps)
        x_T = invert(domain.diffusion, original, climbed, task.num_refinements)
        found = {"original": original, "x_T": x_T, "embedding": domain.clip.image(original)}
    timesteps = timestep_sequence(task.num_sample_steps)
    if lowest_t == _NO_P_T:
        found["reconstruction"] = generate(domain.diffusion, found["x_T"], timesteps)
    else:
        steps = list(unedited_trajectory(domain.diffusion, found["x_T"], timesteps))
        found["p_t"] = torch.stack([step.p_t for step in steps if step.t >= lowest_t], dim=1)
        found["eps_first"] = steps[0].eps
        found["reconstruction"] = steps[-1].p_t  # the last step ends at P_t of the lowest t
    return {name: tensor[0] for name, tensor in found.items()}


def _each(embed: Callable[[Tensor], Tensor], p_t: Tensor) -> Tensor:
    """(T, D) embeddings of (T, C, H, W), one at a time, so that none depends on how many there are."""
    return torch.cat([embed(picture[None]) for picture in p_t])
