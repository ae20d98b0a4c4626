"""Measure the avatars' two models: the numbers and pictures of their model cards.

    python -m trainables.h_space.pretrain.quality trainables/h_space/domains/avatars/weights

Legend: N faces, D embedding width; pictures are (N, 3, 32, 32) in [-1, 1].
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.clip import ClipModel
from trainables.h_space.diffusion import generate, invert, unedited_trajectory
from trainables.h_space.domains.avatars.drawing import draw_faces
from trainables.h_space.domains.avatars.faces import TEST_SEEDS, Face, redraw, sample_face
from trainables.h_space.metrics._sets import frechet_distance
from trainables.h_space.pretrain.avatars_unet_recipe import PHASES, faces_of
from trainables.h_space.pretrain.pixels import to_unit_range
from trainables.h_space.timesteps import timestep_sequence

NUM_STEPS: Final = 40  # of the inversion and of the generation, as in the published settings
BATCH: Final = 50

# attribute -> the prompts it competes with, in a zero-shot choice of one
SIBLINGS: Final = {
    "smiling": ("sad face", "angry face", "surprised face", "neutral face"),
    "sad": ("smiling face", "angry face", "surprised face", "neutral face"),
    "angry": ("smiling face", "sad face", "surprised face", "neutral face"),
    "surprised": ("smiling face", "sad face", "angry face", "neutral face"),
    "tanned": ("pale face", "light face", "dark face"),
    "pale": ("tanned face", "light face", "dark face"),
    "man": ("a woman",),
    "woman": ("a man",),
    "old": ("young person",),
    "young": ("old person",),
    "curly_hair": ("person with long hair", "person with short hair", "person with bald head"),
    "long_hair": ("person with curly hair", "person with short hair", "person with bald head"),
    "short_hair": ("person with curly hair", "person with long hair", "person with bald head"),
    "bald": ("person with curly hair", "person with long hair", "person with short hair"),
    "goblin": ("person", "zombie", "robot", "clown"),
    "zombie": ("person", "goblin", "robot", "clown"),
    "robot": ("person", "goblin", "zombie", "clown"),
    "clown": ("person", "goblin", "zombie", "robot"),
    "pixel_art": ("photo", "sketch"),
    "sketch": ("photo", "pixel art"),
}


@dataclass(frozen=True)
class AttributeQuality:
    """What the CLIP model makes of one attribute, over held-out faces that lack it."""

    name: str
    accuracy: float
    """Share of pictures, edited and original, put right among the attribute and its siblings."""
    direction_cosine: float
    """Mean cosine of (embedding of the true edit - of the original) and (target text - source text)."""
    prompt_cosine: float
    """Cosine of target and source text, which multiplies lambda_recon."""


def drawable() -> list[Attribute]:
    """The attributes whose true edit can be drawn."""
    return [attribute for attribute in ATTRIBUTES.values() if attribute.redraw]


def measure_attribute(clip: ClipModel, attribute: Attribute, *, num_faces: int = 128) -> AttributeQuality:
    """Accuracy, direction and prompt cosine of an attribute on plain test faces that lack it."""
    before, after = counterfactuals(attribute, num_faces)
    with torch.no_grad():
        image_before, image_after = clip.image(before), clip.image(after)
    source, target = clip.text([attribute.source, attribute.target])
    directions = F.cosine_similarity(image_after - image_before, (target - source)[None])
    return AttributeQuality(
        name=attribute.name,
        accuracy=_accuracy(clip, attribute, image_before, image_after),
        direction_cosine=float(directions.mean()),
        prompt_cosine=float(source @ target),
    )


def counterfactuals(attribute: Attribute, num_faces: int) -> tuple[Tensor, Tensor]:
    """Test faces that lack the attribute, and their true edits: (N, 3, 32, 32) twice."""
    before: list[Face] = []
    for seed in TEST_SEEDS:
        face = sample_face(seed)
        if redraw(face, attribute.redraw) != face:
            before.append(face)
        if len(before) == num_faces:
            break
    return to_pixels(before), to_pixels([redraw(face, attribute.redraw) for face in before])


def to_pixels(faces: Sequence[Face]) -> Tensor:
    """Draw faces: (N, 3, 32, 32) in [-1, 1]."""
    return to_unit_range(draw_faces(faces))


def reconstruction_error(
    diffusion: FrozenDiffusion, *, num_faces: int = 64, num_refinements: int = 0
) -> Tensor:
    """Mean absolute difference, in [-1, 1] pixels, after inversion and generation: (num_faces,)."""
    x_0 = to_pixels([sample_face(seed) for seed in TEST_SEEDS[:num_faces]])
    timesteps = timestep_sequence(NUM_STEPS, diffusion.t_max)
    x_T = invert(diffusion, x_0, timesteps, num_refinements)
    return (generate(diffusion, x_T, timesteps) - x_0).abs().mean((1, 2, 3))


def unconditional_samples(diffusion: FrozenDiffusion, num_samples: int, generator: torch.Generator) -> Tensor:
    """Samples from noise, (num_samples, 3, 32, 32) in [-1, 1]."""
    noise = torch.randn(num_samples, *diffusion.x_shape, generator=generator)
    parts = [
        generate(diffusion, part, timestep_sequence(NUM_STEPS, diffusion.t_max))
        for part in torch.split(noise, BATCH)
    ]
    return torch.cat(parts).clamp(-1, 1)


def sample_distance(clip: ClipModel, samples: Tensor) -> tuple[float, float]:
    """Fréchet distance of samples to as many held-out faces; beside it, that of two held-out sets.

    The held-out faces wear as much face paint as those that the model was trained on last.
    """
    num = len(samples)
    painted = PHASES[-1].painted_share
    first = to_pixels(faces_of(TEST_SEEDS[:num], painted))
    second = to_pixels(faces_of(TEST_SEEDS[num : 2 * num], painted))
    with torch.no_grad():
        ours, held_out, other = clip.image(samples), clip.image(first), clip.image(second)
    return frechet_distance(ours, held_out), frechet_distance(other, held_out)


def trajectory_picture(diffusion: FrozenDiffusion, *, num_faces: int = 8, every: int = 4) -> Tensor:
    """P_t of inverted test faces from t = 999 down, the faces themselves last: (rows x columns, 3, H, W)."""
    x_0 = to_pixels([sample_face(seed) for seed in TEST_SEEDS[:num_faces]])
    timesteps = timestep_sequence(NUM_STEPS, diffusion.t_max)
    x_T = invert(diffusion, x_0, timesteps)
    points = [point.p_t for point in unedited_trajectory(diffusion, x_T, timesteps)]
    columns = [*points[::every], points[-1], x_0]
    return torch.stack(columns, dim=1).flatten(0, 1).clamp(-1, 1)


def save_grid(pictures: Tensor, num_columns: int, path: Path, *, zoom: int = 2) -> None:
    """Write (N, 3, H, W) pictures in [-1, 1] as one image, row by row."""
    pixels = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    rows = [np.concatenate(list(row), axis=1) for row in np.array_split(pixels, len(pixels) // num_columns)]
    grid = Image.fromarray(np.concatenate(rows, axis=0))
    grid.resize((grid.width * zoom, grid.height * zoom), Image.Resampling.NEAREST).save(path)


def report_clip(clip: ClipModel, log: Callable[[str], None] = print) -> None:
    """A table row for each attribute that can be drawn."""
    log("| attribute | accuracy | direction cosine | prompt cosine |")
    log("|---|---|---|---|")
    for attribute in drawable():
        found = measure_attribute(clip, attribute)
        numbers = (found.accuracy, found.direction_cosine, found.prompt_cosine)
        log(f"| {found.name} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


def report_unet(
    diffusion: FrozenDiffusion,
    clip: ClipModel,
    folder: Path,
    *,
    num_samples: int = 1000,
    log: Callable[[str], None] = print,
) -> None:
    """Reconstruction, sample distance, and two pictures in `folder`."""
    for num_refinements in (0, 1, 2):
        errors = reconstruction_error(diffusion, num_refinements=num_refinements)
        log(
            f"reconstruction, {num_refinements} refinements a step: mean absolute error {errors.mean():.4f}, "
            f"median face {errors.median():.4f}, worst face {errors.max():.4f}"
        )
    save_grid(trajectory_picture(diffusion), NUM_STEPS // 4 + 2, folder / "trajectory.png")
    samples = unconditional_samples(diffusion, num_samples, torch.Generator().manual_seed(0))
    save_grid(samples[:64], 16, folder / "samples.png")
    distance, floor = sample_distance(clip, samples)
    log(f"Fréchet distance in CLIP embeddings: samples {distance:.4f}, two held-out sets {floor:.4f}")


def _accuracy(clip: ClipModel, attribute: Attribute, before: Tensor, after: Tensor) -> float:
    """Edited pictures must pick the target, originals must not."""
    if attribute.name not in SIBLINGS:
        return float("nan")
    prompts = clip.text([attribute.target, *SIBLINGS[attribute.name]])
    picks_target_after = (after @ prompts.T).argmax(1) == 0
    picks_target_before = (before @ prompts.T).argmax(1) == 0
    return float((picks_target_after.float().mean() + (~picks_target_before).float().mean()) / 2)


def main(folder: Path) -> None:
    """Report on the weights of a folder; its pictures are written there."""
    clip = ClipModel.from_folder(folder / "clip")
    report_clip(clip)
    report_unet(FrozenDiffusion.from_folder(folder), clip, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
