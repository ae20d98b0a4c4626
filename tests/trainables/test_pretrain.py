"""Pretraining of the avatars' models, a few steps of it, and the numbers that judge them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from trainables.backbones.unet import FrozenDiffusion
from trainables.clip import ClipModel
from trainables.domains.avatars.captions import Caption
from trainables.domains.avatars.drawing import Picture, draw_faces
from trainables.domains.avatars.faces import Face, sample_face
from trainables.pretrain.avatars_clip import ClipTraining, Pictures, train_clip, truth
from trainables.pretrain.avatars_unet import MIDDLE, UNetTraining, _Run, train_unet, training_faces
from trainables.pretrain.quality import save_grid


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [sample_face(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def pictures(faces: list[Face]) -> Picture:
    return draw_faces(faces)


def test_trained_unet_loads_as_a_frozen_diffusion_model(pictures: Picture, tmp_path: Path) -> None:
    train_unet(tmp_path, UNetTraining(num_steps=1, batch_size=2), faces=pictures)

    diffusion = FrozenDiffusion.from_folder(tmp_path)

    assert diffusion.prediction_type == "v_prediction"
    assert diffusion.shape[:3] == (96, 8, 8)


def test_resumed_unet_training_gives_the_same_weights(pictures: Picture, tmp_path: Path) -> None:
    settings = UNetTraining(num_steps=4, batch_size=2)
    whole, first_half, second_half = _Run(settings), _Run(settings), _Run(settings)

    _steps(whole, pictures, 4)
    _steps(first_half, pictures, 2)
    first_half.save(tmp_path / "half.pt")
    second_half.load(tmp_path / "half.pt")
    _steps(second_half, pictures, 2)

    assert _same_weights(whole.ema, second_half.ema)


def test_phase_paints_the_share_it_says_of_its_faces_and_nothing_unseen() -> None:
    drawn = training_faces(UNetTraining(num_faces=50, painted_share=0.2))

    assert sum(bool(face.skin_paint or face.eye_paint) for face in drawn) == 10
    assert {face.kind for face in drawn} == {"person"}
    assert training_faces(UNetTraining(num_faces=4)) == [sample_face(seed) for seed in range(4)]


def test_phase_draws_the_share_it_says_of_timesteps_from_the_middle() -> None:
    drawn = _Run(UNetTraining(middle_share=1.0))._timesteps(500)
    anywhere = _Run(UNetTraining())._timesteps(500)

    assert MIDDLE[0] <= int(drawn.min())
    assert int(drawn.max()) < MIDDLE[1]
    assert int(anywhere.min()) < 100
    assert int(anywhere.max()) > 950


def test_phase_starts_from_the_weights_it_is_given() -> None:
    first, other = _Run(UNetTraining(seed=3)), UNetTraining(seed=4)

    assert _same_weights(_Run(other, start=first.ema).ema, first.ema)
    assert not _same_weights(_Run(other).ema, first.ema)


def test_building_models_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()

    _Run(UNetTraining())

    assert torch.equal(before, torch.random.get_rng_state())


def test_trained_clip_loads_from_its_folder(faces: list[Face], pictures: Picture, tmp_path: Path) -> None:
    train_clip(tmp_path, ClipTraining(num_steps=1, batch_size=4), pictures=[Pictures(faces, pictures, 1.0)])

    clip = ClipModel.from_folder(tmp_path / "clip")

    assert clip.text(["a goblin"]).shape == (1, 64)


def test_truth_weighs_true_captions_by_what_they_say() -> None:
    faces = [Face(emotion="smiling"), Face(emotion="sad")]
    captions = [Caption("face"), Caption("smiling face", frozenset({("emotion", "smiling")}))]

    assert truth(captions, faces).tolist() == [[1.0, 3.0], [1.0, 0.0]]


def test_grid_has_a_row_for_every_so_many_pictures(tmp_path: Path) -> None:
    from PIL import Image

    save_grid(torch.zeros(6, 3, 32, 32), 3, tmp_path / "grid.png", zoom=1)

    assert np.asarray(Image.open(tmp_path / "grid.png")).shape == (64, 96, 3)


def _steps(run: _Run, pictures: Picture, count: int) -> None:
    for _ in range(count):
        run.train_step(pictures)


def _same_weights(a: UNet2DModel, b: UNet2DModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
