"""Train the avatars' judge on drawn faces and their labels: about five minutes on one CPU core.

    python -m trainables.h_space.pretrain.avatars_judge [OUT]

Its faces are of seeds that neither editors nor the CLIP nor the U-Net see. No picture is an edit, nor half way to one.

Legend: B pictures of 3 x 32 x 32 pixels in [-1, 1], K labels, L values of all labels together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from trainables.h_space.domains.avatars.captions import visible_labels
from trainables.h_space.domains.avatars.drawing import draw_faces
from trainables.h_space.domains.avatars.faces import EMOTIONS, JUDGE_SEEDS, KINDS, STYLES, Face, sample_face
from trainables.h_space.judges.avatars import HIDDEN, JUDGE, LABELS, WEIGHTS_FILE, AvatarLabels
from trainables.h_space.pretrain.pixels import augment, to_unit_range

KIND_ODDS = (*KINDS[:1] * 4, *KINDS[1:])
STYLE_ODDS = (*STYLES[:1] * 4, *STYLES[1:])
LEARNING_RATE = 3e-3
NUM_STEPS = 1600


def train_judge(
    out: Path = WEIGHTS_FILE,
    *,
    num_faces: int = 8_000,
    num_steps: int = NUM_STEPS,
    batch_size: int = 64,
    log: Callable[[str], None] = print,
) -> AvatarLabels:
    """Train from scratch on faces of every kind and style; writes half-precision weights to `out`."""
    faces = judged_faces(JUDGE_SEEDS[:num_faces])
    pictures, labels = to_unit_range(draw_faces(faces)), shown_labels(faces)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # torch's layers draw their first weights from the global generator
        model = AvatarLabels()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=num_steps)
    for step in range(1, num_steps + 1):
        rows = torch.randint(len(faces), (batch_size,), generator=generator)
        seen = model(augment(pictures[rows], generator).clamp(-1, 1))
        loss = loss_of(seen, labels[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            log(f"step {step}/{num_steps} loss {loss.item():.4f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, out)
    out.chmod(0o644)  # safetensors writes files that only their owner can read
    return model.eval()


def judged_faces(seeds: Sequence[int]) -> list[Face]:
    """Faces of every kind, style and emotion."""
    return [sample_face(seed, kinds=KIND_ODDS, styles=STYLE_ODDS, emotions=EMOTIONS) for seed in seeds]


def shown_labels(faces: Sequence[Face]) -> Tensor:
    """Positions among the values of each label of what the pictures of these faces show: (B, K)."""
    return torch.tensor([_shown(face) for face in faces])


def _shown(face: Face) -> list[int]:
    seen = {**visible_labels(face), "background": face.background}
    return [JUDGE.place_of(name, seen.get(name, HIDDEN)) for name in LABELS]


def loss_of(seen: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, the mean over labels: (B, L + F) logits and features, (B, K) positions."""
    logits = JUDGE.logits(seen)
    return torch.stack([F.cross_entropy(one, labels[:, k]) for k, one in enumerate(logits)]).mean()


if __name__ == "__main__":
    train_judge(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS_FILE)
