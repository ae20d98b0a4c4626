"""A wrong scaling factor shows: the diffusion model of `avatars`, with latents that are its pictures times a factor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainables.h_space.backbones.autoencoder import FrozenAutoencoder
from trainables.h_space.backbones.latents import AutoencoderKind, LatentSpec
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.latents_check import latent_notes, measure_scaling
from trainables.h_space.trajectories import CachedBatch


class Scaled(FrozenAutoencoder):
    """Latents are the pictures themselves."""

    def __init__(
        self, factor: float, kind: AutoencoderKind = "AutoencoderKL", *, quantises: bool = False
    ) -> None:
        super().__init__(nn.Module(), LatentSpec(Path(), kind, 3, 1, factor, quantises))  # type: ignore[arg-type]

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels * self.spec.scaling_factor

    def decode(self, x: Tensor, *, is_shown: bool = False) -> Tensor:
        return x / self.spec.scaling_factor


def with_factor(factor: float) -> Domain:
    return replace(load_domain("avatars"), autoencoder=Scaled(factor))


@dataclass(frozen=True)
class Images:
    """Cached images, of which only pictures matter."""

    original: Tensor
    reconstruction: Tensor

    def __len__(self) -> int:
        return len(self.original)

    def batch(self, rows: Sequence[int]) -> CachedBatch:
        none = torch.zeros(len(rows), 0)
        return CachedBatch(self.original[list(rows)], none, self.reconstruction[list(rows)], none)


def test_the_right_factor_fits() -> None:
    found = measure_scaling(with_factor(1.0))

    assert found.is_right
    assert found.error < 0.3
    assert found.ratio == pytest.approx(1.0, abs=0.4)
    assert str(found).startswith("scaling_factor 1 fits: ")


@pytest.mark.parametrize("factor", [0.18215, 5.5])
def test_a_wrong_factor_is_told_with_one_that_would_fit(factor: float) -> None:
    found = measure_scaling(with_factor(factor))

    assert not found.is_right
    assert factor * found.ratio == pytest.approx(1.0, abs=0.4)
    assert f"scaling_factor {factor:g} does not fit the diffusion model" in str(found)


def test_a_domain_of_pixels_has_no_factor() -> None:
    with pytest.raises(ValueError, match="works on pixels"):
        measure_scaling(load_domain("avatars"))
    images = Images(torch.randn(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    assert list(latent_notes(load_domain("avatars"), images)) == []  # type: ignore[arg-type]


def test_a_trial_notes_images_that_do_not_come_back() -> None:
    original = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    domain = with_factor(0.18215)

    returned = list(latent_notes(domain, Images(original, 0.9 * original)))  # type: ignore[arg-type]
    lost = list(latent_notes(domain, Images(original, -original)))  # type: ignore[arg-type]

    assert returned == []
    assert lost == [
        "images do not come back from inversion and generation: the error is 2.00 of their deviation. The "
        "autoencoder's scaling_factor 0.18215 may be wrong: asyrp-sweep doctor --domain D --try"
    ]


@pytest.mark.parametrize(("quantises", "how"), [(True, "through"), (False, "without")])
def test_a_trial_notes_whether_pictures_were_quantised(quantises: bool, how: str) -> None:
    domain = replace(load_domain("avatars"), autoencoder=Scaled(1.0, "VQModel", quantises=quantises))
    original = torch.randn(2, 3, 8, 8)

    (note,) = latent_notes(domain, Images(original, original))  # type: ignore[arg-type]

    assert note.startswith(f"pictures that are shown and measured are decoded {how} the codes of the VQModel")
