"""Pretraining of the built-in latent diffusion model: both stages, a few steps of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_pretrain import same_weights

from trainables.h_space.backbones.autoencoder import FrozenAutoencoder
from trainables.h_space.backbones.latents import read_latents
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.domains import domain_summary, shipped_domains
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.domains.avatars.faces import sample_face
from trainables.h_space.pretrain import avatars_ldm, avatars_ldm_quality, pretrain_avatars_ldm
from trainables.h_space.pretrain import avatars_ldm_recipe as recipe
from trainables.h_space.pretrain.avatars_ldm import AutoencoderRun, LatentRun, psnr
from trainables.h_space.pretrain.pixels import to_unit_range
from trainables.h_space.pretrain.runs import Run


@pytest.fixture(scope="module")
def pictures() -> Picture:
    return draw_faces([sample_face(seed) for seed in range(4)], size=recipe.SIZE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two steps of each stage leave."""
    out = tmp_path_factory.mktemp("ldm")
    with pytest.MonkeyPatch.context() as patch:
        _make_small(patch)
        pretrain_avatars_ldm(out, autoencoder_steps=2, unet_steps=2, log=lambda line: None)
    return out


def _make_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(avatars_ldm, "NUM_HELD_OUT", 4)
    for stage in ("AUTOENCODER", "UNET"):
        patch.setattr(recipe, stage, replace(getattr(recipe, stage), num_faces=4, batch_size=2))


def test_both_stages_leave_a_latent_model_in_half_precision(trained: Path, pictures: Picture) -> None:
    diffusion = FrozenDiffusion.from_folder(trained)
    spec = read_latents(trained / "vae", json.loads((trained / "unet/config.json").read_text()), None)
    x_0 = FrozenAutoencoder.load(spec).encode(to_unit_range(pictures))

    assert diffusion.prediction_type == "v_prediction"
    assert tuple(x_0.shape[1:]) == diffusion.x_shape == (4, 16, 16)
    assert spec.picture_shape(diffusion.x_shape) == (3, recipe.SIZE, recipe.SIZE)
    weights = [trained / name / "diffusion_pytorch_model.safetensors" for name in ("vae", "unet")]
    assert sum(path.stat().st_size for path in weights) < 8_100_000


def test_scaled_latents_of_held_out_faces_have_unit_deviation(trained: Path) -> None:
    held_out = np.load(next(trained.glob("held_out_*.npy")))
    spec = read_latents(trained / "vae", json.loads((trained / "unet/config.json").read_text()), None)

    x_0 = FrozenAutoencoder.load(spec).encode(to_unit_range(held_out))

    assert float(x_0.std()) == pytest.approx(1.0, abs=0.01)


def test_finished_autoencoder_is_taken_as_it_is_and_stages_go_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_small(monkeypatch)
    for path in trained.iterdir():
        if path.name != "autoencoder.pt":
            (tmp_path / path.name).symlink_to(path) if path.suffix == ".npy" else _copy(path, tmp_path)
    said: list[str] = []

    pretrain_avatars_ldm(tmp_path, unet_steps=3, log=said.append)

    assert not any(line.startswith("autoencoder") for line in said)
    (checkpoint,) = tmp_path.glob("unet_*.pt")  # a name of the autoencoder's
    assert torch.load(checkpoint, weights_only=True)["step"] == 3
    assert (tmp_path / "vae/config.json").read_bytes() == (trained / "vae/config.json").read_bytes()


@pytest.mark.parametrize("kind", [AutoencoderRun, LatentRun])
def test_resumed_stage_ends_with_the_same_bits(
    kind: type[AutoencoderRun | LatentRun], pictures: Picture, tmp_path: Path
) -> None:
    def run() -> Run:
        stage = recipe.AUTOENCODER if kind is AutoencoderRun else recipe.UNET
        return kind(replace(stage, num_steps=4, batch_size=2))

    data = pictures if kind is AutoencoderRun else torch.randn(4, 4, 16, 16)
    whole, first_half, second_half = run(), run(), run()

    whole.train(data, log=print)
    first_half.train_step(data)
    first_half.train_step(data)
    first_half.save(tmp_path / "half.pt")
    second_half.train(data, checkpoint=tmp_path / "half.pt", log=print)

    assert second_half.step == 4
    assert same_weights(whole.ema, second_half.ema)


def test_a_model_made_anew_is_a_domain_and_is_measured(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avatars_ldm_quality, "NUM_STEPS", 4)
    shipped = shipped_domains()["avatars_ldm"]
    name = str(tmp_path / "anew.yaml")
    clip = shipped.parent.parent / "avatars/weights/clip"
    text = shipped.read_text().replace("diffusion: weights", f"diffusion: {trained}")
    Path(name).write_text(text.replace("../avatars/weights/clip", str(clip)))
    said: list[str] = []

    avatars_ldm_quality.main(tmp_path, name, num_faces=4, num_samples=8, log=said.append)

    summary = domain_summary(name)
    assert (summary.image_size, summary.x_shape, summary.shape[:3]) == ((64, 64), (4, 16, 16), (96, 8, 8))
    assert summary.shape[:3] == domain_summary("avatars").shape[:3]  # so that editors are alike in both
    firsts = [line.split()[0] for line in said]
    assert firsts == [*["autoencoder,", "labels"] * 2, *["inversion,"] * 2, *["Fréchet"] * 3]
    for picture in ("autoencoder_persons", "autoencoder_unseen_kinds", "trajectory", "samples"):
        assert (tmp_path / f"{picture}.png").is_file()


def test_psnr_is_that_of_the_mean_squared_error() -> None:
    autoencoder = recipe.build_autoencoder().eval()
    pictures = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        decoded = autoencoder.decode(autoencoder.encode(pictures).latent_dist.mode()).sample

    expected = 20 * np.log10(2 / float(decoded.square().mean().sqrt()))

    assert psnr(autoencoder, pictures) == pytest.approx(expected, abs=1e-3)


def _copy(path: Path, folder: Path) -> None:
    import shutil

    shutil.copytree(path, folder / path.name) if path.is_dir() else shutil.copy(path, folder)
