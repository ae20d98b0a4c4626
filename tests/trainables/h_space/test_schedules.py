"""Models of other than 1000 timesteps: what counts in them follows the domain, or is refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from random_domains import prepare, small_config, write_domain, write_pixel_model

from trainables.exchange import Asked
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.edit_session import EditError, EditSession, EditSettings
from trainables.h_space.editing_interval import measure
from trainables.h_space.editor_file import load_editor
from trainables.h_space.family import FAMILY
from trainables.h_space.schedule import as_noisy, highest_timestep, linear_betas
from trainables.h_space.trajectories import load_cached
from trainables.h_space.trial import Trial

LEARNED_VARIANCE = {"out_channels": 6}


@pytest.fixture
def cosine_4000(tmp_path: Path) -> str:
    """A domain like those of improved-DDPM."""
    schedule = {"num_train_timesteps": 4000, "beta_schedule": "squaredcos_cap_v2"}
    write_pixel_model(tmp_path, unet=LEARNED_VARIANCE, **schedule)
    return write_domain(tmp_path)


def test_the_published_schedules_are_used_to_their_end() -> None:
    for num_timesteps in (1000, 4000):
        betas = linear_betas(num_timesteps, 0.1 / num_timesteps, 20 / num_timesteps)
        assert highest_timestep(np.cumprod(1 - betas), "epsilon") == num_timesteps - 1


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0.0015, 0.0195, (333, 433, 484, 501, 535, 561)),  # CompVis's ldm-celebahq-256
        (0.00085, 0.012, (451, 572, 633, 654, 694, 726)),  # Stable Diffusion
    ],
)
def test_timesteps_of_other_schedules_are_as_noisy(
    first: float, last: float, expected: tuple[int, ...]
) -> None:
    betas = np.linspace(first**0.5, last**0.5, 1000) ** 2

    assert tuple(as_noisy(betas, t)[0] for t in (321, 403, 446, 461, 490, 513)) == expected


def test_a_cosine_schedule_is_left_before_errors_of_epsilon_grow_without_bound(cosine_4000: str) -> None:
    model = FrozenDiffusion.from_folder(Path(cosine_4000).with_name("model"))

    assert model.t_max == domain_summary(cosine_4000).t_max == 3986
    theirs = DDIMScheduler(num_train_timesteps=4000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(model.alpha_bar[:3987], theirs[:3987], rtol=2e-4, atol=0)
    assert FrozenDiffusion(model.split.unet, model.alpha_bar, "v_prediction").t_max == 3999


def test_a_trial_walks_the_timesteps_of_its_model_and_its_editor_fits_no_other(
    cosine_4000: str, tmp_path: Path
) -> None:
    config = small_config(cosine_4000, t_edit=2000)
    prepare(config, tmp_path / "cache")

    trial = Trial(config, 0, cache_dir=tmp_path / "cache")
    trial.step()
    result = trial.finish()
    trial.save_model(tmp_path / "editor.safetensors")

    assert result.curves[0]["timesteps"] == [3986, 2657]
    editor = load_editor(tmp_path / "editor.safetensors")
    assert editor.metadata.timesteps == (3986, 2657)
    batch = load_cached(config, "train", tmp_path / "cache").batch([0, 1])
    assert batch.p_t is not None
    assert batch.p_t.shape == (2, 2, 3, 32, 32)
    curves = measure(load_domain(cosine_4000), batch.original, 4)
    assert curves.timesteps == (0, 1328, 2657, 3986)
    (tmp_path / "usual").mkdir()
    write_pixel_model(tmp_path / "usual")
    usual = load_domain(write_domain(tmp_path / "usual"))
    with pytest.raises(EditError, match=r"trained from t = 3986 down, but domain random begins at 999"):
        EditSession(usual, [editor], EditSettings())


@pytest.mark.parametrize(
    ("training", "evaluation", "place", "message"),
    [
        ({"t_edit": 4000}, {}, ("training", "t_edit"), "expected at most 49; found 4000"),
        ({"num_train_steps": 51}, {}, ("training", "num_train_steps"), "expected at most 50; found 51"),
        ({}, {"t_boost": 200}, ("evaluation", "t_boost"), "expected at most 50; found 200"),
        ({}, {"more_sample_steps": (60,)}, ("evaluation", "num_sample_steps"), "at most 50; found 60"),
    ],
)
def test_timesteps_that_the_model_does_not_have_are_told_when_planning(
    training: dict[str, object],
    evaluation: dict[str, object],
    place: tuple[str, str],
    message: str,
    tmp_path: Path,
) -> None:
    write_pixel_model(tmp_path, num_train_timesteps=50)
    config = small_config(write_domain(tmp_path), **training)
    config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update=evaluation)})

    found = dict(FAMILY.findings(config.model_dump(), config, Asked(primary="s_dir")))

    assert list(found) == [place]
    assert message in found[place]
    assert "domain random has timesteps 0 to 49" in found[place]
