"""Pretraining of the avatars' diffusion model, a few steps of it, and the pictures that judge it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.domains.avatars.faces import sample_face
from trainables.h_space.judges.avatars import JUDGE, load
from trainables.h_space.pretrain.avatars_judge import train_judge
from trainables.h_space.pretrain.avatars_unet import BOTTLENECK_SIZE, UNetRun, exchanged, train_unet, velocity
from trainables.h_space.pretrain.avatars_unet_recipe import MIDDLE, UNetTraining, training_faces
from trainables.h_space.pretrain.pixels import to_unit_range
from trainables.h_space.pretrain.quality import save_grid


@pytest.fixture(scope="module")
def pictures() -> Picture:
    return draw_faces([sample_face(seed) for seed in range(6)])


def test_trained_unet_loads_as_a_frozen_diffusion_model(pictures: Picture, tmp_path: Path) -> None:
    train_unet(tmp_path, UNetTraining(num_steps=1, batch_size=2), faces=pictures)

    diffusion = FrozenDiffusion.from_folder(tmp_path)

    assert diffusion.prediction_type == "v_prediction"
    assert diffusion.shape[:3] == (96, 8, 8)


def test_trained_judge_loads_and_sees_pictures(pictures: Picture, tmp_path: Path) -> None:
    train_judge(tmp_path / "judge.safetensors", num_faces=4, num_steps=2, batch_size=2)

    seen = load(torch.device("cpu"), tmp_path / "judge.safetensors")(to_unit_range(pictures))

    assert len(seen) == len(pictures)
    assert (JUDGE.distance(seen, seen.flip(0)) > 0).any()


def test_resumed_unet_training_gives_thesame_weights(pictures: Picture, tmp_path: Path) -> None:
    settings = UNetTraining(num_steps=4, batch_size=2)
    whole, first_half, second_half = UNetRun(settings), UNetRun(settings), UNetRun(settings)

    _steps(whole, pictures, 4)
    _steps(first_half, pictures, 2)
    first_half.save(tmp_path / "half.pt")
    second_half.load(tmp_path / "half.pt")
    _steps(second_half, pictures, 2)

    assert same_weights(whole.ema, second_half.ema)


def test_phase_paints_the_share_it_says_of_its_faces_and_nothing_unseen() -> None:
    drawn = training_faces(UNetTraining(num_faces=50, painted_share=0.2))

    assert sum(bool(face.skin_paint or face.eye_paint) for face in drawn) == 10
    assert {face.kind for face in drawn} == {"person"}
    assert training_faces(UNetTraining(num_faces=4)) == [sample_face(seed) for seed in range(4)]


def test_phase_draws_the_share_it_says_of_timesteps_from_the_middle() -> None:
    drawn = UNetRun(UNetTraining(middle_share=1.0)).draw_timesteps(500)
    anywhere = UNetRun(UNetTraining()).draw_timesteps(500)

    assert MIDDLE[0] <= int(drawn.min())
    assert int(drawn.max()) < MIDDLE[1]
    assert int(anywhere.min()) < 100
    assert int(anywhere.max()) > 950


def test_phase_starts_from_the_weights_it_is_given() -> None:
    first, other = UNetRun(UNetTraining(seed=3)), UNetTraining(seed=4)

    assert same_weights(UNetRun(other, start=first.ema).ema, first.ema)
    assert not same_weights(UNetRun(other).ema, first.ema)


def test_building_models_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()

    UNetRun(UNetTraining())

    assert torch.equal(before, torch.random.get_rng_state())


def test_phase_without_exchange_has_the_loss_of_the_model_itself(pictures: Picture) -> None:
    run, x_0 = UNetRun(UNetTraining(seed=5)), to_unit_range(pictures)
    stream = torch.Generator().manual_seed(5)
    t = torch.randint(1000, (6,), generator=stream)
    noise = torch.randn(x_0.shape, generator=stream)
    alpha_bar = run.alpha_bars[t].view(-1, 1, 1, 1)
    x_t = (alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise).contiguous(
        memory_format=torch.channels_last
    )

    expected = torch.nn.functional.mse_loss(run.network(x_t, t).sample, velocity(x_0, noise, alpha_bar))

    assert torch.equal(run.loss(x_0), expected)


def test_phase_with_exchange_trains_every_weight_on_another_loss(pictures: Picture) -> None:
    x_0 = to_unit_range(pictures)
    run, plain = UNetRun(UNetTraining(exchanged_share=0.5)), UNetRun(UNetTraining())

    loss = run.loss(x_0)
    loss.backward()

    assert loss.isfinite()
    assert not torch.equal(loss, plain.loss(x_0))
    assert all(
        weight.grad is not None and weight.grad.isfinite().all() for weight in run.network.parameters()
    )


def test_phase_with_exchange_takes_steps_of_finite_loss(pictures: Picture) -> None:
    settings = UNetTraining(batch_size=4, num_warmup_steps=1, exchanged_share=0.5, middle_share=0.5)
    run, before = UNetRun(settings), UNetRun(settings)

    losses = [run.train_step(pictures) for _ in range(2)]

    assert np.isfinite(losses).all()
    assert not same_weights(run.ema, before.ema)


def test_exchanged_skips_show_the_neighbours_coarse_part_and_their_own_fine_part() -> None:
    skips = _random_skips()

    moved = exchanged(skips, 4)

    for old, new in zip(skips, moved, strict=True):
        coarse = torch.nn.functional.adaptive_avg_pool2d(old, BOTTLENECK_SIZE)
        smooth = torch.nn.functional.interpolate(coarse, size=old.shape[2:], mode="bilinear")
        fine = old - smooth
        assert torch.allclose(new, fine + smooth[[3, 0, 1, 2]], atol=1e-5)


def test_exchanged_skips_of_one_colour_change_places() -> None:
    skip = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 16, 16)

    (moved,) = exchanged([skip], 3)

    assert moved[:, 0, 0, 0].tolist() == [2.0, 0.0, 1.0, 3.0]
    assert torch.equal(moved, moved[:, :1, :1, :1].expand_as(moved))


def test_exchange_keeps_the_mean_of_its_group() -> None:
    skips = _random_skips()

    moved = exchanged(skips, 3)

    for old, new in zip(skips, moved, strict=True):
        assert torch.allclose(old[:3].mean(0), new[:3].mean(0), atol=1e-5)


def test_exchange_moves_only_the_first_of_a_batch() -> None:
    skips = _random_skips()

    moved = exchanged(skips, 2)

    for old, new in zip(skips, moved, strict=True):
        assert torch.equal(old[2:], new[2:])
        assert not torch.isclose(old[:2], new[:2]).all(dim=(1, 2, 3)).any()


def test_exchange_of_no_picture_changes_nothing() -> None:
    skips = _random_skips()

    assert all(a is b for a, b in zip(skips, exchanged(skips, 0), strict=True))


def test_grid_has_a_row_for_every_so_many_pictures(tmp_path: Path) -> None:
    from PIL import Image

    save_grid(torch.zeros(6, 3, 32, 32), 3, tmp_path / "grid.png", zoom=1)

    assert np.asarray(Image.open(tmp_path / "grid.png")).shape == (64, 96, 3)


def _random_skips() -> list[torch.Tensor]:
    """Skips of four pictures, at twice and at once the size of the bottleneck."""
    stream = torch.Generator().manual_seed(0)
    sizes = (2 * BOTTLENECK_SIZE, BOTTLENECK_SIZE)
    return [torch.randn(4, 3, size, size, generator=stream) for size in sizes]


def _steps(run: UNetRun, pictures: Picture, count: int) -> None:
    for _ in range(count):
        run.train_step(pictures)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
