"""Measure the latent diffusion model of drawn faces: the numbers and pictures of its model cards.

    python -m trainables.h_space.pretrain.avatars_ldm_quality OUT [DOMAIN]

Legend: N faces, pictures (N, 3, 64, 64) in [-1, 1], x latents (N, 4, 16, 16).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from trainables.h_space.clip import ClipModel
from trainables.h_space.diffusion import generate, invert, unedited_trajectory
from trainables.h_space.domains.avatars.drawing import draw_faces
from trainables.h_space.domains.avatars.faces import KINDS, STYLES, TEST_SEEDS, Face, sample_face
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.metrics._sets import frechet_distance
from trainables.h_space.pretrain.avatars_ldm_recipe import PAINTED_SHARE, SIZE
from trainables.h_space.pretrain.avatars_unet_recipe import faces_of
from trainables.h_space.pretrain.pixels import to_unit_range
from trainables.h_space.pretrain.quality import BATCH, NUM_STEPS, save_grid
from trainables.h_space.timesteps import timestep_sequence

Log = Callable[[str], None]

GROUPS: Final = {"persons": (KINDS[:1], STYLES[:1]), "unseen kinds": (KINDS[1:], STYLES[:1])}
"""Held-out faces by what they are."""


def drawn(faces: Sequence[Face]) -> Tensor:
    """Pictures of faces."""
    return to_unit_range(draw_faces(faces, size=SIZE))


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of (N, ...) in batches."""
    return torch.cat([function(part) for part in torch.split(x, BATCH)])


def decibels(returned: Tensor, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio over all pixels, for a range of 2."""
    return float(10 * torch.log10(4 / (returned - pictures).square().mean()))


def report_autoencoder(domain: Domain, out: Path, num_faces: int, log: Log) -> None:
    """Reconstruction, labels that the judge still reads, and a picture: faces above what is decoded of them."""
    assert domain.judge is not None
    for name, (kinds, styles) in GROUPS.items():
        pictures = drawn([sample_face(seed, kinds=kinds, styles=styles) for seed in TEST_SEEDS[:num_faces]])
        returned = in_parts(lambda x: domain.to_pixels(domain.to_latent(x)), pictures)
        odds = [domain.judge.judge.odds(in_parts(domain.judge.look, one)) for one in (pictures, returned)]
        kept = {
            label: float((before.argmax(1) == after.argmax(1)).float().mean())
            for (label, before), after in zip(odds[0].items(), odds[1].values(), strict=True)
        }
        labels = ", ".join(f"{label} {share:.2f}" for label, share in kept.items())
        log(f"autoencoder, {len(pictures)} held-out {name}: {decibels(returned, pictures):.2f} dB")
        log(f"labels that the judge reads as in the picture: {labels}")
        stem = name.replace(" ", "_")
        save_grid(torch.cat([pictures[:12], returned[:12].clamp(-1, 1)]), 12, out / f"autoencoder_{stem}.png")


@torch.no_grad()
def report_inversion(domain: Domain, out: Path, num_faces: int, log: Log) -> None:
    """How far inverted and generated faces are from what the autoencoder alone returns, and P_t along the way."""
    timesteps = timestep_sequence(NUM_STEPS, domain.diffusion.t_max)
    x_0 = domain.to_latent(drawn([sample_face(seed) for seed in TEST_SEEDS[:num_faces]]))
    pictures = domain.to_pixels(x_0)
    for num_refinements in (0, 1):
        x_T = invert(domain.diffusion, x_0, timesteps, num_refinements)
        returned = domain.to_pixels(generate(domain.diffusion, x_T, timesteps))
        errors = (returned - pictures).abs().mean((1, 2, 3))
        log(
            f"inversion, {num_refinements} refinements a step: mean absolute error {errors.mean():.4f}, "
            f"median face {errors.median():.4f}, worst face {errors.max():.4f}"
        )
    points = list(unedited_trajectory(domain.diffusion, x_T[:8], timesteps))[::4]
    columns = [*(domain.to_pixels(point.p_t) for point in points), pictures[:8]]
    save_grid(
        torch.stack(columns, dim=1).flatten(0, 1).clamp(-1, 1),
        len(columns),
        out / "trajectory.png",
        zoom=1,
    )


def report_samples(domain: Domain, out: Path, num_samples: int, log: Log) -> None:
    """Fréchet distances in the domain's CLIP: of samples, of decoded faces, and of two held-out sets."""
    timesteps = timestep_sequence(NUM_STEPS, domain.diffusion.t_max)
    noise = torch.randn(num_samples, *domain.diffusion.x_shape, generator=torch.Generator().manual_seed(0))
    samples = in_parts(lambda x: domain.to_pixels(generate(domain.diffusion, x, timesteps)), noise)
    first, second = (
        drawn(faces_of(TEST_SEEDS[start : start + num_samples], PAINTED_SHARE)) for start in (0, num_samples)
    )
    decoded = in_parts(lambda x: domain.to_pixels(domain.to_latent(x)), second)
    held_out = _embedded(domain.clip, first)
    for name, pictures in (("samples", samples), ("decoded faces", decoded), ("held-out faces", second)):
        distance = frechet_distance(_embedded(domain.clip, pictures), held_out)
        log(f"Fréchet distance in CLIP of {num_samples} {name} to as many held-out faces: {distance:.4f}")
    save_grid(samples[:32].clamp(-1, 1), 8, out / "samples.png", zoom=1)


def _embedded(clip: ClipModel, pictures: Tensor) -> Tensor:
    return in_parts(lambda x: clip.image(x.clamp(-1, 1)), pictures)


def main(
    out: Path, name: str = "avatars_ldm", *, num_faces: int = 64, num_samples: int = 500, log: Log = print
) -> None:
    """Report on the model of a domain, `name` or the path of its YAML; its pictures are written to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    domain = load_domain(name)
    report_autoencoder(domain, out, 4 * num_faces, log)
    report_inversion(domain, out, num_faces, log)
    report_samples(domain, out, num_samples, log)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
