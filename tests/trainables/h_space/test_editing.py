"""Several editors at once, strengths and step counts: what they add up to."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.diffusion import generate, invert
from trainables.h_space.editing import CombinedEditor, Part, Window, apply_editors, equal_coefficients
from trainables.h_space.schedule import alpha_bars
from trainables.h_space.timesteps import delta_h_scale, timestep_sequence

NUM_STEPS = 6


def pushing(h: Tensor, temb: Tensor, t: int) -> Tensor:
    return torch.tanh(h) + 0.5


def pulling(h: Tensor, temb: Tensor, t: int) -> Tensor:
    return -0.3 * h.square()


PUSH = Part(pushing, NUM_STEPS, t_edit=400)
PULL = Part(pulling, NUM_STEPS, t_edit=700)


@pytest.fixture(scope="module")
def model(random_unet: Callable[[int], UNet2DModel]) -> FrozenDiffusion:
    return FrozenDiffusion(random_unet(16), alpha_bars())


@pytest.fixture(scope="module")
def x_T() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def at(combined: CombinedEditor, t: int) -> Tensor:
    """Delta-h of a bottleneck of ones."""
    return combined(torch.ones(1, 2, 1, 1), torch.zeros(1, 4), t)


def test_one_editor_is_the_generation_it_was_trained_for(model: FrozenDiffusion, x_T: Tensor) -> None:
    expected = generate(model, x_T, timestep_sequence(NUM_STEPS, 999), pushing, t_edit=400)

    edited = apply_editors(model, x_T, [PUSH], 1.0, NUM_STEPS)

    assert torch.equal(edited, expected)


@pytest.mark.parametrize("window", ["own", "widest", "narrowest"])
def test_an_editor_twice_at_a_half_each_is_the_editor_once(
    model: FrozenDiffusion, x_T: Tensor, window: Window
) -> None:
    once = apply_editors(model, x_T, [PUSH], 1.0, NUM_STEPS)

    twice = apply_editors(model, x_T, [replace(PUSH, coefficient=0.5)] * 2, 1.0, NUM_STEPS, window=window)

    assert torch.equal(twice, once)


def test_strength_zero_is_the_reconstruction(model: FrozenDiffusion, x_T: Tensor) -> None:
    reconstruction = generate(model, x_T, timestep_sequence(NUM_STEPS, 999))

    assert torch.equal(apply_editors(model, x_T, [PUSH, PULL], 0.0, NUM_STEPS), reconstruction)
    assert torch.equal(apply_editors(model, x_T, [], 1.0, NUM_STEPS), reconstruction)
    assert not torch.equal(apply_editors(model, x_T, [PUSH, PULL], 1.0, NUM_STEPS), reconstruction)


def test_editors_without_a_coefficient_leave_the_reconstruction(model: FrozenDiffusion, x_T: Tensor) -> None:
    silent = [replace(part, coefficient=0.0) for part in (PUSH, PULL)]

    edited = apply_editors(model, x_T, silent, 1.0, NUM_STEPS)

    assert torch.equal(edited, apply_editors(model, x_T, [], 0.0, NUM_STEPS))


def test_negative_strength_turns_the_edit_around() -> None:
    forth, back = (CombinedEditor([PUSH, PULL], strength, NUM_STEPS) for strength in (0.7, -0.7))

    assert torch.equal(at(back, 999), -at(forth, 999))


def test_coefficients_and_strength_multiply_each_editor() -> None:
    parts = [replace(PUSH, coefficient=0.25), replace(PULL, coefficient=2.0)]
    h, temb = torch.ones(1, 2, 1, 1), torch.zeros(1, 4)

    combined = CombinedEditor(parts, 0.5, NUM_STEPS)

    expected = 0.5 * (0.25 * pushing(h, temb, 999) + 2.0 * pulling(h, temb, 999))
    torch.testing.assert_close(combined(h, temb, 999), expected)


def test_n_equal_editors_have_one_over_the_root_of_n_each() -> None:
    assert equal_coefficients(1) == [1.0]
    assert equal_coefficients(4) == [0.5] * 4


@pytest.mark.parametrize(
    ("window", "acting"),
    [
        ("own", {300: set(), 400: {"push"}, 699: {"push"}, 700: {"push", "pull"}}),
        ("widest", {300: set(), 400: {"push", "pull"}, 699: {"push", "pull"}, 700: {"push", "pull"}}),
        ("narrowest", {300: set(), 400: set(), 699: set(), 700: {"push", "pull"}}),
    ],
)
def test_the_window_says_who_acts_when(window: Window, acting: dict[int, set[str]]) -> None:
    named = {
        "push": at(CombinedEditor([PUSH], 1.0, NUM_STEPS), 999),
        "pull": at(CombinedEditor([PULL], 1.0, NUM_STEPS), 999),
    }

    combined = CombinedEditor([PUSH, PULL], 1.0, NUM_STEPS, window)

    for t, names in acting.items():
        expected = sum((named[name] for name in names), torch.zeros(1, 2, 1, 1))
        torch.testing.assert_close(at(combined, t), expected)
    assert combined.t_edit == (700 if window == "narrowest" else 400)


def test_another_number_of_steps_scales_delta_h_once() -> None:
    trained, longer = (CombinedEditor([PUSH], 1.0, steps) for steps in (NUM_STEPS, 10 * NUM_STEPS))

    torch.testing.assert_close(
        at(longer, 999), delta_h_scale(1.0, NUM_STEPS, 10 * NUM_STEPS) * at(trained, 999)
    )
    torch.testing.assert_close(at(longer, 999), 0.1 * at(trained, 999))


def test_editors_of_different_step_counts_are_each_scaled_by_their_own() -> None:
    slow = replace(PULL, num_train_steps=2 * NUM_STEPS)

    both = at(CombinedEditor([PUSH, slow], 1.0, NUM_STEPS), 999)

    alone = at(CombinedEditor([PUSH], 1.0, NUM_STEPS), 999), at(CombinedEditor([PULL], 1.0, NUM_STEPS), 999)
    torch.testing.assert_close(both, alone[0] + 2 * alone[1])


def test_reconstruction_is_the_ddim_of_the_inverted_image_and_finds_it_again(model: FrozenDiffusion) -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1

    def error(num_steps: int) -> float:
        x_T = invert(model, image, timestep_sequence(num_steps, 999))
        return float((apply_editors(model, x_T, [PUSH], 0.0, num_steps) - image).abs().mean())

    assert error(50) < error(5)


def test_boost_gives_every_strength_the_same_noise(model: FrozenDiffusion, x_T: Tensor) -> None:
    def boosted(parts: list[Part], strength: float) -> Tensor:
        noise = torch.Generator().manual_seed(3)
        return apply_editors(model, x_T, parts, strength, NUM_STEPS, t_boost=500, noise_generator=noise)

    assert torch.equal(boosted([PUSH], 0.0), boosted([replace(PUSH, coefficient=0.0)], 1.0))
    assert not torch.equal(boosted([PUSH], 0.0), apply_editors(model, x_T, [], 0.0, NUM_STEPS))
