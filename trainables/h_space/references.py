"""What edits are measured along: all that depends on domain and texts alone, computed once and kept on disk.

Each piece is a file beside the trajectories (`h_space.trajectory_files`), written atomically; a damaged one counts
as missing. Preparation computes the pieces in parallel, with the same batches as a process that keeps nothing, so that
the numbers are the same to the last bit. Workers read them and never run a text through CLIP.

Legend: D CLIP width, E width of the second CLIP, N prompt templates, K texts.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trainables.atomic import read_tensors, save_tensors
from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainSummary, domain_summary
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.probe import NUM_DRAWN, NUM_LABELLED, has_labels, label_probe
from trainables.h_space.rivals import others_offered, rival_texts

Kind = Literal["prompts", "bare", "second", "probe"]

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """One piece: what is embedded, and together with what, for a batch of texts is embedded as one."""

    kind: Kind
    """`prompts`: a text in every template (N, D). `bare`: texts without any (K, D). `second`: the same in the second
    CLIP (K, E). `probe`: weights (D,) and offset of an attribute's label probe, no weights where there is none."""
    texts: tuple[str, ...]
    """For a probe, the attribute's name."""


@dataclass(frozen=True)
class ReferenceTask:
    """A piece to compute; plain data, so it can travel to a worker."""

    domain: str
    reference: Reference


Lookup = Callable[[Reference], Tensors]
"""The tensors of a piece: computed in a loaded domain, or read from the cache."""


def in_templates(text: str) -> Reference:
    """A text in the domain's prompt templates."""
    return Reference("prompts", (text,))


def bare_texts(attribute: Attribute) -> Reference:
    """Target, source, then the targets that an image could be mistaken for."""
    return Reference("bare", (attribute.target, attribute.source, *rival_texts(attribute)))


def second_texts(attribute: Attribute) -> Reference:
    """Target and source in the second CLIP."""
    return Reference("second", (attribute.target, attribute.source))


def probe_of(attribute: Attribute) -> Reference:
    """The label probe of an attribute of the table."""
    return Reference("probe", (attribute.name,))


def needed(config: CellConfig) -> list[Reference]:
    """All pieces that trials of this configuration read, each once."""
    summary, edit = domain_summary(config.domain), config.edit
    attributes = [edit, *others_offered(summary.attributes, edit)]
    texts = dict.fromkeys(text for one in attributes for text in (one.target, one.source))
    found = [*map(in_templates, texts), bare_texts(edit)]
    if "second_clip" in summary.offers:
        found.append(second_texts(edit))
    if edit.name in ATTRIBUTES and has_labels(summary.label_names, ATTRIBUTES[edit.name]):
        found.append(probe_of(edit))
    return found


def reference_tasks(config: CellConfig, cache_dir: Path) -> list[ReferenceTask]:
    """A task for every piece that the cache does not hold yet. Raises DomainError when the domain cannot be read."""
    summary = domain_summary(config.domain)
    return [
        ReferenceTask(config.domain, one)
        for one in needed(config)
        if read_tensors(_path(cache_dir, summary, one)) is None
    ]


def num_embeddings(task: ReferenceTask) -> tuple[int, int, int]:
    """(texts in every template, texts without any, images at most) that a task runs through CLIP."""
    kind, num_texts = task.reference.kind, len(task.reference.texts)
    if kind == "probe":
        is_drawn = "counterfactual" in domain_summary(task.domain).offers
        return 0, 0, 2 * NUM_DRAWN if is_drawn else NUM_LABELLED
    return (num_texts, 0, 0) if kind == "prompts" else (0, num_texts, 0)


@torch.no_grad()
def run_reference(task: ReferenceTask, cache_dir: Path, device: str = "cpu") -> None:
    """Compute a task's piece and keep it. Idempotent."""
    one = task.reference
    path = _path(cache_dir, domain_summary(task.domain), one)
    if read_tensors(path) is None:
        tensors = computed(load_domain(task.domain, device), one)
        kept = {name: value.contiguous().cpu() for name, value in tensors.items()}
        save_tensors(path, kept, {"of": json.dumps([one.kind, *one.texts])})


def kept_references(domain: Domain, summary: DomainSummary, cache_dir: Path) -> Lookup:
    """Reads pieces from the cache, onto the domain's device.

    The result raises FileNotFoundError for one that preparation has not computed.
    """

    def look_up(one: Reference) -> Tensors:
        path = _path(cache_dir, summary, one)
        tensors = read_tensors(path)
        if tensors is None:
            raise FileNotFoundError(f"{path}: {one.kind} of {', '.join(one.texts)} has not been prepared")
        # Cloned: what is mapped from a file is not aligned as what was computed, which can move a product's last bits.
        return {name: value.clone().to(domain.device) for name, value in tensors.items()}

    return look_up


def computing(domain: Domain) -> Lookup:
    """Computes pieces in a loaded domain, each once per process."""
    return partial(computed, domain)


@lru_cache(maxsize=512)
@torch.no_grad()
def computed(domain: Domain, one: Reference) -> Tensors:
    """The tensors of a piece, on the domain's device. Raises ValueError for a second CLIP that is not there."""
    if one.kind == "prompts":
        return {"embedding": domain.clip.text(domain.prompts(*one.texts))}
    if one.kind == "bare":
        return {"embedding": domain.clip.text(one.texts)}
    if one.kind == "second":
        if domain.clip_eval is None:
            raise ValueError(f"domain {domain.name} has no second CLIP (`clip_eval`)")
        return {"embedding": domain.clip_eval.text(one.texts)}
    probe = label_probe(domain, ATTRIBUTES[one.texts[0]])
    if probe is None:
        return {"weights": torch.zeros(0), "offset": torch.zeros((), dtype=torch.float64)}
    return {"weights": probe.weights, "offset": torch.tensor(probe.offset, dtype=torch.float64)}


def _path(cache_dir: Path, summary: DomainSummary, one: Reference) -> Path:
    """Named by content, so that the same texts are found again whichever attribute they belong to."""
    content = json.dumps([summary.texts_identity, *one.texts])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return cache_dir / summary.cache_name / "references" / f"{one.kind}_{digest}.safetensors"
