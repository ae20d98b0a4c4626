"""A domain of latents: the same trial, through an autoencoder that belongs to the diffusion model."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from random_domains import (
    UNCHECKED,
    change_json,
    prepare,
    small_config,
    write_domain,
    write_latent_model,
    write_pixel_model,
)

from trainables.errors import UserError
from trainables.exchange import Asked
from trainables.h_space.cell_checks import check_cell
from trainables.h_space.config import TrainingConfig
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.edit_session import EditSession, EditSettings
from trainables.h_space.editing_interval import measure
from trainables.h_space.editor_file import load_editor
from trainables.h_space.family import FAMILY
from trainables.h_space.identity import identity
from trainables.h_space.room import preparation_bytes
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import load_cached
from trainables.h_space.trial import Trial

FACTORS = {
    "AutoencoderKL": UNCHECKED,
    "VQModel": "autoencoder: {scaling_factor: 0.5, quantise: true, check_scaling: false}\n",
}


def latent_domain(folder: Path, kind: str = "AutoencoderKL", **settings: Any) -> str:
    write_latent_model(folder, kind, **settings)
    if kind == "VQModel":  # as published: diffusers' default is never in the file of 2022
        change_json(folder / "model" / "vqvae" / "config.json", scaling_factor=None)
    return write_domain(folder, extra=FACTORS[kind])


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    return load_domain(latent_domain(tmp_path))


@pytest.fixture
def vq_domain(tmp_path: Path) -> Domain:
    return load_domain(latent_domain(tmp_path, "VQModel"))


@pytest.mark.parametrize("kind", FACTORS)
def test_a_trial_on_latents_trains_measures_and_edits_pictures(kind: str, tmp_path: Path) -> None:
    config = small_config(latent_domain(tmp_path, kind), clip_reference="unedited")
    before = preparation_bytes([config], tmp_path / "cache")
    prepare(config, tmp_path / "cache")

    trial = Trial(config, 0, cache_dir=tmp_path / "cache")
    start = {name: value.clone() for name, value in trial.editor.state_dict().items()}
    trial.step()
    result = trial.finish()
    trial.save_model(tmp_path / "editor.safetensors")

    assert any(not torch.equal(value, start[name]) for name, value in trial.editor.state_dict().items())
    assert {row["strength"] for row in result.evaluations} == {0.0, 0.5, 1.0}
    sizes = {Image.open(io.BytesIO(row["image"]["bytes"])).size for row in result.samples}
    assert sizes == {(32, 32)}
    batch, channels = (
        load_cached(config, "train", tmp_path / "cache").batch([0, 1]),
        {"AutoencoderKL": 4}.get(kind, 3),
    )
    assert batch.p_t is not None
    assert batch.p_t.shape == (2, 3, channels, 16, 16)
    assert batch.x_T.shape == (2, channels, 16, 16)
    assert batch.original.shape == batch.reconstruction.shape == (2, 3, 32, 32)
    assert before > preparation_bytes([config], tmp_path / "cache")
    loaded = load_domain(config.domain)
    session = EditSession(loaded, [load_editor(tmp_path / "editor.safetensors")], EditSettings())
    strips = [session.strip(session.read(session.held_out(1)[0])), session.strip(session.made_up(1)[0])]
    assert [len(group) for group in strips[0].groups[:2]] == [2, 1]
    assert [len(group) for group in strips[1].groups] == [1, 1]
    assert Image.open(io.BytesIO(strips[0].edits[0].png)).size == (32, 32)


def test_the_loss_reaches_the_editor_through_the_decoder(domain: Domain, tmp_path: Path) -> None:
    """L_dir alone, with what the autoencoder decodes: a decoder that answers another picture gives another gradient."""
    config = small_config(str(tmp_path / "domain.yaml"), lambda_recon=0.0)
    prepare(config, tmp_path / "cache")
    batch = load_cached(config, "train", tmp_path / "cache").batch([0, 1])
    steps = training_timesteps(4, 1, 999)
    objective = Objective(domain.clip.text(["smiling face"])[0], 0.0, config.training)
    editor = config.editor.build(domain.diffusion.shape, torch.Generator().manual_seed(0), (999, 666, 333))
    gradients: list[torch.Tensor] = []

    def keep() -> None:
        gradients.append(torch.cat([p.grad.flatten() for p in editor.parameters() if p.grad is not None]))
        editor.zero_grad()

    train_batches(domain.diffusion, domain.embed, editor, objective, [batch], steps, keep)
    flipped = train_batches(
        domain.diffusion,
        lambda x: domain.clip.image(-domain.to_pixels(x)),
        editor,
        objective,
        [batch],
        steps,
        keep,
    )

    assert len(flipped[0]) == len(steps) == 3
    for own, other in zip(gradients[:3], gradients[3:], strict=True):  # at every trained t
        assert own.abs().max() > 0
        assert not torch.allclose(own, other)
    assert domain.autoencoder is not None
    assert all(p.grad is None for p in domain.autoencoder.parameters())


def test_the_reconstruction_term_is_of_latents_or_of_their_pictures(domain: Domain) -> None:
    generator = torch.Generator().manual_seed(0)
    edit, source = (torch.randn(2, *domain.diffusion.x_shape, generator=generator) for _ in range(2))
    reference = domain.clip.image(domain.to_pictures(source))

    def recon(where: str) -> float:
        settings = TrainingConfig.model_validate({"recon_in": where})
        objective = Objective(reference[0], 1.0, settings, domain.to_pixels)
        return float(objective(domain.clip.image, edit, source, reference)[2])

    of_pictures = (domain.to_pictures(edit) - domain.to_pictures(source)).abs().mean()
    assert recon("x") == pytest.approx(float((edit - source).abs().mean()))
    assert recon("pictures") == pytest.approx(float(of_pictures))
    assert recon("pictures") != recon("x")


@torch.no_grad()
def test_the_decoded_reference_is_the_image_through_the_autoencoder(tmp_path: Path) -> None:
    config = small_config(latent_domain(tmp_path), clip_reference="decoded")
    prepare(config, tmp_path / "cache")
    trial, loaded = Trial(config, 0, cache_dir=tmp_path / "cache"), load_domain(config.domain)
    cached = load_cached(config, "train", tmp_path / "cache").batch([0, 1])

    found = trial._batch([0, 1])

    decoded = loaded.clip.image(loaded.to_pixels(loaded.to_latent(cached.original)))
    assert torch.allclose(found.embedding, decoded)
    assert not torch.allclose(found.embedding, cached.embedding)
    assert torch.equal(found.original, cached.original)


@pytest.mark.parametrize(("setting", "value"), [("recon_in", "pictures"), ("clip_reference", "decoded")])
def test_terms_of_decoded_pictures_are_refused_where_nothing_is_decoded(
    setting: str, value: str, tmp_path: Path
) -> None:
    def problems(domain: str) -> list[str]:
        config = small_config(domain, **{setting: value})
        found = check_cell(config.model_dump(), config, Asked(), domain_summary, {})
        return [said for place, said in found if place == ("training", setting)]

    assert problems(latent_domain(tmp_path)) == []
    assert problems("avatars") == [
        f"{value}: the diffusion model of domain avatars works on pixels and decodes nothing"
    ]


def test_a_trial_without_terms_of_pictures_keeps_its_identity(tmp_path: Path) -> None:
    domain = domain_summary("avatars")

    assert "recon_in" not in identity(small_config("avatars"), domain)["config"]["training"]
    assert identity(small_config("avatars", recon_in="pictures"), domain)["config"]["training"]["recon_in"]


def test_latents_are_scaled_on_the_way_in_and_back_on_the_way_out(domain: Domain) -> None:
    assert domain.autoencoder is not None
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model: Any = domain.autoencoder.model

    x_0 = domain.to_latent(pictures)

    assert x_0.shape == (2, 4, 16, 16)
    torch.testing.assert_close(x_0, model.encode(pictures).latent_dist.mode() * 0.18215)
    assert torch.equal(x_0, domain.to_latent(pictures))
    torch.testing.assert_close(domain.to_pixels(x_0), model.decode(x_0 / 0.18215).sample)
    assert domain.picture_shape == (3, 32, 32)
    assert not x_0.requires_grad


def test_shown_pictures_go_through_the_codes_where_asked_and_training_never_does(vq_domain: Domain) -> None:
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert vq_domain.autoencoder is not None
    model: Any = vq_domain.autoencoder.model

    trained = vq_domain.to_pixels(x)
    trained.sum().backward()

    assert x.grad is not None
    assert x.grad.abs().max() > 0
    shown = vq_domain.to_pictures(x)
    torch.testing.assert_close(trained, model.decode(x / 0.5, force_not_quantize=True).sample)
    torch.testing.assert_close(shown, model.decode(x / 0.5).sample)
    assert not torch.allclose(shown, trained, atol=1e-3)
    assert not vq_domain.to_pictures(x).requires_grad


def test_distances_of_an_interval_are_between_pictures(domain: Domain) -> None:
    pictures = domain.load_images(list(domain.images.ids("train", 2, small_config("").edit)))

    curves = measure(domain, pictures, 3)

    assert curves.predicted.shape == curves.noisy.shape == (2, 3)


@pytest.mark.parametrize("change", ["factor", "weights", "quantise"])
def test_the_autoencoder_and_its_use_are_part_of_the_domain(change: str, tmp_path: Path) -> None:
    path = Path(latent_domain(tmp_path, "VQModel"))
    before = domain_summary(str(path)).fingerprint
    if change == "weights":
        write_latent_model(tmp_path, "VQModel", num_vq_embeddings=8)
        change_json(tmp_path / "model" / "vqvae" / "config.json", scaling_factor=None)
    else:
        old, new = {"factor": ("0.5", "0.25"), "quantise": ("true", "false")}[change]
        path.write_text(path.read_text().replace(old, new))
    domain_summary.cache_clear()

    assert domain_summary(str(path)).fingerprint != before


def test_a_decoder_that_recomputes_keeps_less_and_gives_the_same_gradient(tmp_path: Path) -> None:
    path = Path(latent_domain(tmp_path))
    other = path.with_name("recomputing.yaml")
    other.write_text(path.read_text().replace("autoencoder: {", "autoencoder: {recompute: true, "))
    found = {}
    for recomputes, file in ((False, path), (True, other)):
        domain = load_domain(str(file))
        x = torch.linspace(-1, 1, 4 * 16 * 16).reshape(1, 4, 16, 16).requires_grad_()
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda one, kept=kept: kept.append(one.nbytes) or one, lambda one: one
        ):
            pictures = domain.to_pixels(x)
        at_once = sum(kept)
        (gradient,) = torch.autograd.grad(pictures.square().sum(), x)
        found[recomputes] = at_once, pictures, gradient, domain.fingerprint

    assert found[True][0] < 0.5 * found[False][0]
    assert torch.equal(found[True][1], found[False][1])
    assert torch.equal(found[True][2], found[False][2])
    assert found[True][3] == found[False][3]


def without_factor(folder: Path) -> str:
    write_latent_model(folder, "VQModel")
    change_json(folder / "model" / "vqvae" / "config.json", scaling_factor=None)
    return ""


def with_setting(**changes: Any) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        write_latent_model(folder)
        change_json(folder / "model" / "vae" / "config.json", **changes)
        return ""

    return write


def of_another_size(folder: Path) -> str:
    write_latent_model(folder)
    write_pixel_model(folder, unet={"sample_size": 16, "in_channels": 3})
    return ""


def without_autoencoder(folder: Path) -> str:
    write_pixel_model(folder, unet={"in_channels": 4, "out_channels": 4})
    return ""


def settings_for_nothing(folder: Path) -> str:
    write_pixel_model(folder)
    return "autoencoder: {scaling_factor: 1.0}\n"


def without_weights(folder: Path) -> str:
    write_latent_model(folder)
    (folder / "model" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    return ""


def codes_of_none(folder: Path) -> str:
    write_latent_model(folder)
    return "autoencoder: {quantise: true}\n"


def recomputed_codes(folder: Path) -> str:
    write_latent_model(folder, "VQModel")
    return "autoencoder: {recompute: true}\n"


def no_factor_at_all(folder: Path) -> str:
    write_latent_model(folder)
    return "autoencoder: {scaling_factor: 0}\n"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (without_factor, r"vqvae/config.json has no scaling_factor, .*autoencoder: \{scaling_factor: 1.0\}"),
        (with_setting(scaling_factor=None), "vae/config.json has no scaling_factor"),
        (with_setting(shift_factor=0.1), r"shift_factor: latents that are shifted cannot be used; found 0.1"),
        (
            with_setting(_class_name="AutoencoderTiny"),
            "expected AutoencoderKL or VQModel; found 'AutoencoderTiny'",
        ),
        (of_another_size, "latents have 4 channels and the U-Net reads 3: they do not belong together"),
        (
            without_autoencoder,
            r"in_channels: expected 3 .*; found 4: a model of latents needs its autoencoder",
        ),
        (settings_for_nothing, "has settings of an autoencoder, and .* has none in vae/ or vqvae/"),
        (without_weights, "vae/diffusion_pytorch_model.safetensors is missing"),
        (codes_of_none, "a AutoencoderKL has no codes to quantise to"),
        (recomputed_codes, "autoencoder.recompute: diffusers has it for AutoencoderKL, not VQModel"),
        (no_factor_at_all, "autoencoder.scaling_factor: expected more than 0; found 0"),
    ],
)
def test_what_does_not_belong_together_is_one_message(
    write: Callable[[Path], str], message: str, tmp_path: Path
) -> None:
    path = write_domain(tmp_path, extra=write(tmp_path))

    with pytest.raises(UserError, match=message):
        domain_summary(path)


def test_a_factor_unlike_the_files_own_is_said(tmp_path: Path) -> None:
    write_latent_model(tmp_path)
    path = write_domain(tmp_path, extra="autoencoder: {scaling_factor: 1.0}\n")

    latents = domain_summary(path).latents

    assert latents is not None
    assert latents.scaling_factor == 1.0
    assert latents.remark.startswith("the domain's scaling_factor 1 is used; ")


def test_trials_do_not_start_on_latents_of_a_wrong_scale(tmp_path: Path) -> None:
    write_latent_model(tmp_path)
    path = Path(write_domain(tmp_path, extra="autoencoder: {scaling_factor: 0.001}\n"))

    for _ in range(2):  # measured, then as it was measured
        with pytest.raises(
            UserError, match=r"domain random: scaling_factor 0.001 does not fit .*check_scaling: false"
        ):
            prepare(small_config(str(path)), tmp_path / "cache")

    path.write_text(path.read_text().replace("0.001}", "0.001, check_scaling: false}"))
    domain_summary.cache_clear()
    stage = next(iter(FAMILY.preparation([small_config(str(path))], tmp_path / "cache")))
    assert list(stage) == []
