"""What the avatars' CLIP model is and how it is trained, phase by phase: an hour or so on a CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import open_clip
import torch

from trainables.h_space.domains.avatars.drawing import SIZE

CONTEXT_LENGTH: Final = 24


@dataclass(frozen=True)
class ClipTraining:
    """How long and how the CLIP model is trained, in one phase."""

    num_steps: int = 700
    batch_size: int = 160
    learning_rate: float = 1e-3
    num_warmup_steps: int = 100
    weight_decay: float = 0.05
    num_persons: int = 24_000
    num_unseen: int = 8_000
    num_styled: int = 5_000
    half_way: bool = False
    """Whether half of the pictures of unseen kinds and styles are mixed with the ordinary face they come from."""
    adversarial_radius: float = 0.0
    """Largest length of the change that is sought against the model in each picture (see `hardened`); 0: none."""
    patch_dropout: float = 0.0
    """Share of each picture's patches that is left out (Li et al. 2023, "FLIP"): a goblin's eyes alone shall
    not say goblin."""
    num_edits: int = 0
    """Pictures of a batch that come with their true edit, for `direction_loss`."""
    seed: int = 0


PHASES: Final = (
    ClipTraining(),
    ClipTraining(num_steps=250, learning_rate=5e-4, half_way=True, seed=1),
    ClipTraining(
        num_steps=300, learning_rate=5e-4, num_warmup_steps=30, half_way=True, adversarial_radius=1.5, seed=2
    ),
    ClipTraining(
        num_steps=250,
        learning_rate=5e-4,
        num_warmup_steps=30,
        half_way=True,
        adversarial_radius=2.5,
        patch_dropout=0.5,
        seed=3,
    ),
    ClipTraining(
        num_steps=250,
        batch_size=96,
        learning_rate=5e-4,
        half_way=True,
        adversarial_radius=2.0,
        patch_dropout=0.3,
        num_edits=64,
        seed=4,
    ),
    ClipTraining(
        num_steps=200,
        batch_size=96,
        learning_rate=4e-4,
        num_warmup_steps=50,
        half_way=True,
        adversarial_radius=1.5,
        patch_dropout=0.15,
        num_edits=96,
        seed=5,
    ),
)
"""The recipe of the shipped weights: each phase starts from the weights of the one before."""


def model_config(vocab_size: int) -> dict[str, object]:
    """open_clip's own configuration of a CLIP of 0.8 million parameters."""
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIZE, "patch_size": 4, "width": 96, "layers": 4, "head_width": 32},
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "width": 96,
            "heads": 3,
            "layers": 3,
        },
    }


def seeded_clip(config: dict[str, object], seed: int) -> open_clip.CLIP:
    """An untrained model of this configuration; the global generator is left alone."""
    with torch.random.fork_rng():  # open_clip initialises from the global generator
        torch.manual_seed(seed)
        return cast(open_clip.CLIP, open_clip.CLIP(**config))


def learning_rate_factor(step: int, settings: ClipTraining) -> float:
    """Linear warmup, then half a cosine down to nothing."""
    if step < settings.num_warmup_steps:
        return (step + 1) / settings.num_warmup_steps
    done = (step - settings.num_warmup_steps) / max(1, settings.num_steps - settings.num_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
