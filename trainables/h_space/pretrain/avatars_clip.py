"""Pretrain the avatars' CLIP model from drawn pictures and their captions.

The recipe, the pictures and the losses have a module each; here they meet the optimiser.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import open_clip
import torch
from open_clip.transformer import PatchDropout
from safetensors.torch import save_file
from torch import Tensor

from trainables.h_space.clip_folder import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from trainables.h_space.domains.avatars.captions import vocabulary
from trainables.h_space.domains.avatars.drawing import SIZE
from trainables.h_space.pretrain.avatars_clip_losses import ClipLosses
from trainables.h_space.pretrain.avatars_clip_pictures import (
    Edits,
    Pictures,
    drawn,
    training_faces,
    true_edits,
)
from trainables.h_space.pretrain.avatars_clip_recipe import (
    CONTEXT_LENGTH,
    ClipTraining,
    learning_rate_factor,
    model_config,
    seeded_clip,
)
from trainables.h_space.word_tokenizer import WordTokenizer

Log = Callable[[str], None]

MEAN: Final = (0.5, 0.5, 0.5)
STD: Final = (0.5, 0.5, 0.5)
MAX_SCALE: Final = 30.0  # of the inverse temperature; training ends at 16


def train_clip(
    out: Path,
    settings: ClipTraining,
    *,
    start: open_clip.CLIP | None = None,
    pictures: Sequence[Pictures] | None = None,
    edits: Edits | None = None,
    log: Log = print,
) -> open_clip.CLIP:
    """Train from scratch or from the weights of `start`.

    Writes `out/clip` in open_clip's layout, with our `vocab.txt`. `pictures` and `edits` are drawn from the training
    seeds when left out, the edits only where the settings ask for any. The global generator is left alone.
    """
    if pictures is None:
        pictures = [drawn(faces, share, settings.half_way) for faces, share in training_faces(settings)]
    if edits is None and settings.num_edits > 0:
        edits = true_edits()
    tokenizer = WordTokenizer(vocabulary(), CONTEXT_LENGTH)
    config = model_config(tokenizer.vocab_size)
    model = seeded_clip(config, settings.seed)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model.visual.patch_dropout = PatchDropout(settings.patch_dropout)  # not in the config: of training only
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    rng = np.random.default_rng(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    losses = ClipLosses(model, tokenizer, settings, rng, generator)
    started_at = time.monotonic()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # PatchDropout draws from the global generator
        for step in range(settings.num_steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * learning_rate_factor(step, settings)
            loss = losses.of_captions(pictures)
            if edits is not None:
                loss = loss + losses.of_edits(edits)
            _descend(model, optimizer, loss)
            if (step + 1) % 50 == 0:
                per_step = (time.monotonic() - started_at) / (step + 1)
                log(
                    f"step {step + 1}/{settings.num_steps} loss {float(loss.detach()):.4f} {per_step:.3f} s/step"
                )
    save_clip(model, tokenizer, config, out / "clip")
    return model.eval()


def save_clip(
    model: open_clip.CLIP, tokenizer: WordTokenizer, config: dict[str, object], folder: Path
) -> None:
    """Write config, weights and vocabulary; the weights appear last and whole."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"size": SIZE, "mode": "RGB", "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / VOCABULARY_FILE).write_text("\n".join(tokenizer.words) + "\n", encoding="utf-8")
    scratch = folder / (WEIGHTS_FILE + ".part")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, scratch)
    scratch.chmod(0o644)  # safetensors writes files that only their owner can read
    scratch.replace(folder / WEIGHTS_FILE)


def _descend(model: open_clip.CLIP, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One optimiser step, after which the temperature is kept from falling too low."""
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(max=math.log(MAX_SCALE))
