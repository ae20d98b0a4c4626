"""The pictures that edits are compared with, and what is seen in them: the same in every trial, kept on disk.

Originals, reconstructions and true edits depend on domain, images and evaluation settings, on no editor and no seed.
Preparation computes them in parallel, one batch of an evaluation at a time with the same neighbours, so that the
numbers are those of a trial that computes them itself to the last bit. Not reconstructions with `t_boost`, whose
noise is the seed's. What the trajectory files hold already is not kept twice. A damaged file counts as missing.

Legend: B images, C channels, H x W pixels in [-1, 1], D CLIP width.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trainables.atomic import read_tensors, save_tensors
from trainables.digests import file_digest
from trainables.h_space.attributes import Attribute
from trainables.h_space.config import CellConfig, EvaluationConfig
from trainables.h_space.diffusion import generate
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.metrics import Need, Pictures, SetMetric
from trainables.h_space.timesteps import timestep_sequence
from trainables.h_space.trajectory_files import PreparationTask, path_of, read
from trainables.h_space.yardsticks import measured_metrics, needed, pictures_of

IMAGES_PER_BATCH = 32

_SEGMENTERS, _JUDGES = (Path(__file__).with_name(name) for name in ("segmenters", "judges"))
"""Not imported: they draw avatars, which is not needed to plan."""

Kind = Literal["original", "reconstruction", "counterfactual"]


@dataclass(frozen=True)
class Asked:
    """What an evaluation sees in unedited pictures beside their embeddings."""

    parts: bool
    inception: bool
    identity: bool = False

    @classmethod
    def of(cls, settings: EvaluationConfig, offers: Collection[Need]) -> "Asked":
        """What these settings ask of a domain that offers this."""
        metrics = measured_metrics(settings.metrics)
        in_sets = any(isinstance(metric, SetMetric) and metric.features == "chosen" for metric in metrics)
        return cls(
            parts="segmenter" in offers and "segmenter" in needed(metrics),
            inception="inception" in offers and in_sets and settings.fid_features != "clip",
            identity="identity" in offers and "identity" in needed(metrics),
        )


@dataclass(frozen=True)
class UneditedTask:
    """One batch of pictures of one kind; plain data, so it can travel to a worker."""

    images: PreparationTask
    kind: Kind
    num_steps: int
    """Sampling steps of a reconstruction; 0 for the others."""
    attribute: Attribute = field(hash=False)
    """Attribute of a true edit."""
    asked: Asked

    @property
    def num_pictures(self) -> int:
        """How many are looked at."""
        return len(self.images.image_ids)

    @property
    def num_steps_taken(self) -> int:
        """Steps of one image each that generating them takes."""
        is_cached = self.num_steps == self.images.num_sample_steps
        return 0 if is_cached else self.num_pictures * self.num_steps


def batches(count: int) -> Iterator[range]:
    """Positions of the images that an evaluation measures together."""
    for start in range(0, count, IMAGES_PER_BATCH):
        yield range(start, min(start + IMAGES_PER_BATCH, count))


def seen(domain: Domain, pixels: Tensor, asked: Asked, embedding: Tensor | None = None) -> Pictures:
    """Unedited pictures (B, C, H, W) with all that is asked of them."""
    return _with_features(
        domain, pictures_of(domain, pixels, asked.parts, asked.identity, embedding=embedding), asked
    )


def originals(
    domain: Domain, ids: Sequence[str], pixels: Tensor, embedding: Tensor, asked: Asked
) -> Pictures:
    """The original pictures of these ids, with their true parts where those are known."""
    parts = domain.images.parts(list(ids)) if asked.parts else None
    parts = None if parts is None else parts.to(pixels.device)
    return _with_features(
        domain, pictures_of(domain, pixels, asked.parts, asked.identity, parts, embedding), asked
    )


def counterfactuals(
    domain: Domain, ids: Sequence[str], attribute: Attribute, asked: Asked
) -> Pictures | None:
    """The true edits of these images, or None where they cannot be drawn."""
    drawn = domain.images.counterfactuals(list(ids), attribute)
    return None if drawn is None else seen(domain, drawn.to(domain.device), asked)


def _with_features(domain: Domain, pictures: Pictures, asked: Asked) -> Pictures:
    if not asked.inception or domain.inception is None:
        return pictures
    return replace(pictures, inception=domain.inception.extract(pictures))


def unedited_tasks(config: CellConfig, images: PreparationTask, cache_dir: Path) -> dict[Path, UneditedTask]:
    """A task for every file that the cache does not hold yet. `images` are all held-out ones of the configuration.

    Raises DomainError when the domain cannot be read.
    """
    needs = {_path(cache_dir, task): task for task in _tasks(config, images)}
    return {path: task for path, task in needs.items() if read_tensors(path) is None}


def _tasks(config: CellConfig, images: PreparationTask) -> Iterator[UneditedTask]:
    offers, settings = domain_summary(config.domain).offers, config.evaluation
    asked = Asked.of(settings, offers)
    kinds: list[tuple[Kind, int]] = []
    if asked.parts or asked.inception or asked.identity or "second_clip" in offers or "judge" in offers:
        kinds.append(("original", 0))
    if settings.t_boost == 0:
        kinds += [("reconstruction", steps) for steps in settings.all_sample_steps]
    if "counterfactual" in offers and config.edit.redraw:
        kinds.append(("counterfactual", 0))
    for rows in batches(len(images.image_ids)):
        batch = replace(images, image_ids=tuple(images.image_ids[row] for row in rows))
        for kind, num_steps in kinds:
            yield UneditedTask(batch, kind, num_steps, config.edit, asked)


@torch.no_grad()
def run_unedited(task: UneditedTask, cache_dir: Path, device: str = "cpu") -> None:
    """Compute a task's pictures and keep what the trajectory files do not hold. Idempotent."""
    path = _path(cache_dir, task)
    if read_tensors(path) is not None:
        return
    pictures, cached = _computed(task, cache_dir, load_domain(task.images.domain, device))
    found = {
        name: value for name, value in vars(pictures).items() if value is not None and name not in cached
    }
    kept = dict(_as_stored(name, value) for name, value in found.items())
    save_tensors(path, kept, {"of": json.dumps([task.kind, *task.images.image_ids])})


def _computed(task: UneditedTask, cache_dir: Path, domain: Domain) -> tuple[Pictures, set[str]]:
    """Pictures, and what of them the trajectory files hold."""
    ids, asked = task.images.image_ids, task.asked

    def stacked(name: str) -> Tensor:
        files = [read(path_of(cache_dir, task.images, image_id), {name}) for image_id in ids]
        return torch.stack([file[name] for file in files]).to(domain.device)

    if task.kind == "original":
        pictures = originals(domain, ids, stacked("original"), stacked("embedding"), asked)
        return pictures, {"pixels", "embedding"}
    if task.kind == "counterfactual":
        drawn = counterfactuals(domain, ids, task.attribute, asked)
        if drawn is None:
            raise ValueError(f"domain {domain.name} cannot draw {task.attribute.name}")
        return drawn, set()
    if task.num_steps == task.images.num_sample_steps:
        return seen(domain, stacked("reconstruction"), asked), {"pixels"}
    timesteps = timestep_sequence(task.num_steps, domain.diffusion.t_max)
    return seen(
        domain, domain.to_pictures(generate(domain.diffusion, stacked("x_T"), timesteps)), asked
    ), set()


@dataclass(frozen=True)
class KeptPictures:
    """What preparation left of the pictures that a configuration's edits are compared with."""

    _paths: dict[tuple[Kind, tuple[str, ...], int], Path]

    @classmethod
    def of(cls, config: CellConfig, images: PreparationTask, cache_dir: Path) -> "KeptPictures":
        """`images` are all held-out ones of the configuration."""
        tasks = _tasks(config, images)
        return cls({(one.kind, one.images.image_ids, one.num_steps): _path(cache_dir, one) for one in tasks})

    def find(
        self, device: torch.device, kind: Kind, ids: Sequence[str], num_steps: int = 0, **cached: Tensor
    ) -> Pictures | None:
        """A batch of pictures, or None where it was not prepared. `cached` is what the trajectory files hold of it."""
        path = self._paths.get((kind, tuple(ids), num_steps))
        found = None if path is None else read_tensors(path)
        if found is None:
            return None
        # Cloned: what is mapped from a file is not aligned as what was computed, which can move a product's last bits.
        kept = dict(_as_it_was(name, value.clone().to(device)) for name, value in found.items())
        return Pictures(**{**cached, **kept})


_CHANNELS_LAST = "_channels_last"
"""Ends the name of what is stored as (B, H, W, C), as pictures are drawn: the order in memory moves last bits too."""


def _as_stored(name: str, value: Tensor) -> tuple[str, Tensor]:
    if value.dim() == 4 and not value.is_contiguous():
        return f"{name}{_CHANNELS_LAST}", value.permute(0, 2, 3, 1).contiguous().cpu()
    return name, value.contiguous().cpu()


def _as_it_was(name: str, value: Tensor) -> tuple[str, Tensor]:
    if name.endswith(_CHANNELS_LAST):
        return name.removesuffix(_CHANNELS_LAST), value.permute(0, 3, 1, 2)
    return name, value


def _path(cache_dir: Path, task: UneditedTask) -> Path:
    """Named by all that the pictures depend on and the name of the cache's folder does not cover."""
    images, summary = task.images, domain_summary(task.images.domain)
    steps = [images.inversion, images.num_sample_steps, task.num_steps]
    made: dict[Kind, object] = {"reconstruction": steps, "counterfactual": task.attribute.redraw}
    content = [
        summary.texts_identity,
        images.image_ids,
        made.get(task.kind),
        vars(task.asked),
        _digest(_SEGMENTERS, summary.segmenter) if task.asked.parts else "",
        _digest(_JUDGES, summary.judge),
    ]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir / images.cache_name / "unedited" / f"{task.kind}_{digest}.safetensors"


def _digest(folder: Path, name: str | None) -> str:
    """Digest of the code and the weights of a network that measures; nothing where the domain has none."""
    return "" if name is None else file_digest(*sorted(folder.glob(f"{name}.*")))
