"""The diffusion maths against recorded outputs of the published code, diffusers, and its own theorems."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from trainables.h_space import diffusion, schedule
from trainables.h_space.backbones.unet import Encoded, FrozenDiffusion
from trainables.h_space.timesteps import delta_h_scale, timestep_sequence, training_timesteps

ORACLE = Path(__file__).parents[4] / "shared" / "data" / "oracle" / "steps.npz"
needs_oracle = pytest.mark.skipif(not ORACLE.is_file(), reason=f"{ORACLE} is not here")

T_EDITS = (321, 403, 446, 461, 490, 499, 512, 513, 515)
MOVES = ((999, 973), (537, 512), (512, -1), (153, 128), (25, 0), (0, -1))


class Recording(FrozenDiffusion):
    """Notes at which t it encodes and how often it decodes there."""

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__(unet, schedule.alpha_bars())
        self.decodes: dict[int, int] = {}

    def encode(self, x_t: Tensor, t: int | Tensor) -> Encoded:
        self.now = int(t)
        return super().encode(x_t, t)

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        self.decodes[self.now] = self.decodes.get(self.now, 0) + 1
        return super().decode(encoded, h)


@pytest.fixture
def model(random_unet: Callable[[int], UNet2DModel]) -> Recording:
    return Recording(random_unet(16))


@pytest.fixture
def x_T() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def editing(h: Tensor, temb: Tensor, t: int) -> Tensor:
    return torch.ones_like(h)


def test_alpha_bar_has_the_published_values() -> None:
    alpha_bar = schedule.alpha_bars()

    published = {
        0: 0.9999,
        25: 0.99097,
        167: 0.74336,
        193: 0.67514,
        461: 0.11370,
        513: 0.06809,
        999: 4.036e-5,
    }
    for t, value in published.items():
        assert alpha_bar[t].item() == pytest.approx(value, rel=1e-4)
    assert schedule.alpha_bar_at(alpha_bar, -1).item() == 1


def test_alpha_bar_of_a_batch_of_timesteps() -> None:
    alpha_bar = schedule.alpha_bars()

    at = schedule.alpha_bar_at(alpha_bar, torch.tensor([-1, 0, 999]))

    assert at.shape == (3, 1, 1, 1)
    assert at.flatten().tolist() == [1.0, alpha_bar[0].item(), alpha_bar[999].item()]


@pytest.mark.parametrize("betas", [[0.1, 1.0], [0.0, 0.1], [[0.1], [0.2]]])
def test_impossible_betas_are_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        schedule.alpha_bars(betas)


@needs_oracle
@pytest.mark.parametrize("n", [40, 50, 1000])
def test_timestep_sequence_is_the_published_one(n: int) -> None:
    recorded = np.load(ORACLE)[f"sequence/{n}"]

    assert timestep_sequence(n, 999) == recorded.tolist()


@needs_oracle
@pytest.mark.parametrize("n", [40, 50, 1000])
@pytest.mark.parametrize("t_edit", T_EDITS)
def test_trained_timesteps_are_the_published_ones_from_noisy_to_clean(n: int, t_edit: int) -> None:
    recorded = np.load(ORACLE)[f"train_sequence/{n}_tedit{t_edit}"].tolist()

    steps = training_timesteps(n, t_edit, 999)

    assert [step.t for step in steps] == recorded[::-1]
    assert [step.t_prev for step in steps] == [*recorded[::-1][1:], -1]


def test_a_sequence_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence of 1 steps"):
        timestep_sequence(1, 999)
    with pytest.raises(ValueError, match="sequence of 12 steps"):
        timestep_sequence(12, t_max=9)
    with pytest.raises(ValueError, match="t_edit 600 is above every timestep"):
        training_timesteps(5, 600, t_max=499)


@needs_oracle
@pytest.mark.parametrize(("t", "t_prev"), MOVES)
@pytest.mark.parametrize("eta", [0, 1])
@pytest.mark.parametrize("kind", ["plain", "edit"])
def test_reverse_step_agrees_with_the_published_code(t: int, t_prev: int, eta: int, kind: str) -> None:
    recorded = np.load(ORACLE)
    x_t, eps = torch.from_numpy(recorded["x_t"]), torch.from_numpy(recorded["eps"])
    eps_edit = torch.from_numpy(recorded["eps_edit"]) if kind == "edit" else eps
    alpha_bar = schedule.alpha_bars()
    alpha_bar_t, alpha_bar_prev = (schedule.alpha_bar_at(alpha_bar, step) for step in (t, t_prev))

    p_edit = diffusion.predicted_x0(x_t, eps_edit, alpha_bar_t)
    x_prev = diffusion.reverse_step(
        x_t, eps, eps_edit, alpha_bar_t, alpha_bar_prev, eta=eta, noise=torch.ones_like(x_t)
    )

    name = f"t{t}_to{t_prev}_eta{eta}_{kind}"
    for ours, theirs in ((p_edit, recorded[f"predicted_x0/{name}"]), (x_prev, recorded[f"x_next/{name}"])):
        assert np.abs(ours.numpy() - theirs).max() < 1e-5 * theirs.std()


def test_noisy_step_without_noise_is_refused() -> None:
    x_t, one = torch.zeros(1, 1, 2, 2), torch.tensor(0.5)

    with pytest.raises(ValueError, match=r"eta 1.0 needs a noise tensor"):
        diffusion.reverse_step(x_t, x_t, x_t, one, one, eta=1.0)


def test_editing_both_terms_cancels_the_edit_as_theorem_1_says() -> None:
    x_t, eps, delta = torch.randn(
        3, 2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    betas = torch.from_numpy(schedule.linear_betas())
    alpha_bar, t = torch.cumprod(1 - betas, 0), 600

    plain = diffusion.asymmetric_step(x_t, eps, eps, alpha_bar[t], alpha_bar[t - 1])
    both = diffusion.asymmetric_step(x_t, eps + delta, eps + delta, alpha_bar[t], alpha_bar[t - 1])

    factor = (1 - alpha_bar[t] - betas[t]).sqrt() - (1 - alpha_bar[t]).sqrt()
    torch.testing.assert_close(both - plain, factor / (1 - betas[t]).sqrt() * delta)
    assert (both - plain).abs().max() < 0.02 * delta.abs().max()


def test_unedited_generation_agrees_with_the_ddim_scheduler(model: Recording, x_T: Tensor) -> None:
    scheduler = DDIMScheduler(beta_start=1e-4, beta_end=2e-2, clip_sample=False)
    scheduler.set_timesteps(20)
    expected = x_T
    with torch.no_grad():
        for t in scheduler.timesteps:
            expected = scheduler.step(model.split.unet(expected, t).sample, int(t), expected).prev_sample

    ours = diffusion.generate(model, x_T, sorted(scheduler.timesteps.tolist()))

    assert (ours - expected).abs().max() < 1e-4 * expected.std()


def test_noisy_step_agrees_with_the_ddim_scheduler(x_T: Tensor) -> None:
    scheduler = DDIMScheduler(beta_start=1e-4, beta_end=2e-2, clip_sample=False)
    scheduler.set_timesteps(20)
    eps, noise = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    alpha_bar = schedule.alpha_bars()

    ours = diffusion.reverse_step(x_T, eps, eps, alpha_bar[500], alpha_bar[450], eta=0.7, noise=noise)

    theirs = scheduler.step(eps, 500, x_T, eta=0.7, variance_noise=noise).prev_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_refined_inversion_finds_the_image_that_generation_returns_from(
    model: Recording, x_T: Tensor
) -> None:
    timesteps = [0, 200, 400]

    def lost(num_refinements: int) -> float:
        inverted = diffusion.invert(model, x_T, timesteps, num_refinements)
        steps = itertools.pairwise(reversed(timesteps))
        for t, t_prev in steps:
            eps, alpha_bar = model.eps(inverted, t), schedule.alpha_bars()
            inverted = diffusion.asymmetric_step(inverted, eps, eps, alpha_bar[t], alpha_bar[t_prev])
        return float((inverted - x_T).abs().mean())

    assert lost(1) < lost(0) / 2
    assert lost(3) < lost(1) / 2


@pytest.mark.parametrize(("num_refinements", "passes"), [(0, 4), (1, 5), (2, 9)])
def test_a_refinement_takes_a_pass_a_step_and_none_where_the_step_is_left(
    model: Recording, x_T: Tensor, num_refinements: int, passes: int
) -> None:
    diffusion.invert(model, x_T, [0, 200, 400, 600, 800], num_refinements)

    assert sum(model.decodes.values()) == passes == diffusion.num_inversion_passes(5, num_refinements)


def test_inversion_climbs_with_the_noise_of_the_step_it_leaves(model: Recording, x_T: Tensor) -> None:
    alpha_bar = schedule.alpha_bars()
    eps = model.eps(x_T, 0)

    inverted = diffusion.invert(model, x_T, [0, 400])

    p = (x_T - (1 - alpha_bar[0]).sqrt() * eps) / alpha_bar[0].sqrt()
    torch.testing.assert_close(inverted, alpha_bar[400].sqrt() * p + (1 - alpha_bar[400]).sqrt() * eps)


def test_the_unedited_trajectory_ends_at_its_last_predicted_image(model: Recording, x_T: Tensor) -> None:
    timesteps = timestep_sequence(5, 999)

    points = list(diffusion.unedited_trajectory(model, x_T, timesteps))

    assert [point.t for point in points] == timesteps[::-1]
    assert torch.equal(points[0].x_t, x_T)
    assert torch.equal(points[-1].p_t, diffusion.generate(model, x_T, timesteps))


def test_zero_delta_h_reproduces_ddim(model: Recording, x_T: Tensor) -> None:
    timesteps = timestep_sequence(6, 999)
    plain = diffusion.generate(model, x_T, timesteps)

    assert torch.equal(
        diffusion.generate(model, x_T, timesteps, lambda h, temb, t: torch.zeros_like(h)), plain
    )
    assert torch.equal(diffusion.generate(model, x_T, timesteps, editing, strength_scale=0.0), plain)
    assert not torch.equal(diffusion.generate(model, x_T, timesteps, editing), plain)


@pytest.mark.parametrize(("t_edit", "edited"), [(399, {999, 799, 599, 399}), (400, {999, 799, 599})])
def test_the_edit_stops_exactly_below_t_edit(
    model: Recording, x_T: Tensor, t_edit: int, edited: set[int]
) -> None:
    timesteps = timestep_sequence(6, 999)

    diffusion.generate(model, x_T, timesteps, editing, t_edit=t_edit)

    assert timesteps == [0, 199, 399, 599, 799, 999]
    assert model.decodes == {t: 2 if t in edited else 1 for t in timesteps}


def test_noise_starts_exactly_below_t_boost(model: Recording, x_T: Tensor) -> None:
    timesteps = timestep_sequence(6, 999)
    plain = diffusion.generate(model, x_T, timesteps)

    def boosted(t_boost: int) -> Tensor:
        noise = torch.Generator().manual_seed(3)
        return diffusion.generate(model, x_T, timesteps, t_boost=t_boost, noise_generator=noise)

    # The step at t = 0 ends at the clean image, where no noise is left: 199 is the first t that shows any.
    assert torch.equal(boosted(199), plain)
    assert not torch.equal(boosted(200), plain)
    assert torch.equal(boosted(200), boosted(200))


def test_edit_and_reconstruction_receive_the_same_boost_noise(model: Recording, x_T: Tensor) -> None:
    timesteps = timestep_sequence(6, 999)

    images = [
        diffusion.generate(
            model,
            x_T,
            timesteps,
            editor,
            strength_scale=0.0,
            t_boost=300,
            noise_generator=torch.Generator().manual_seed(3),
        )
        for editor in (None, editing)
    ]

    assert torch.equal(*images)


def test_boost_without_a_generator_is_refused(model: Recording, x_T: Tensor) -> None:
    with pytest.raises(ValueError, match="t_boost 200 adds noise"):
        diffusion.generate(model, x_T, [0, 999], t_boost=200)


def test_delta_h_is_scaled_by_the_ratio_of_step_counts() -> None:
    assert delta_h_scale(1.0, 40, 1000) == pytest.approx(0.04)
    assert delta_h_scale(0.5, 40, 40) == 0.5
