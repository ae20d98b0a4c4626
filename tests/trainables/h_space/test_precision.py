"""Parts of a domain that compute in 16 bits: how far their answers move, what stays as it is, what is refused."""

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_domains import small_config, write_domain, write_pixel_model

from trainables.exchange import Asked
from trainables.h_space.cell_checks import check_cell
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.edit_session import EditSession, EditSettings
from trainables.h_space.editor_file import EditorMetadata, LoadedEditor
from trainables.h_space.family import FAMILY
from trainables.h_space.identity import identity
from trainables.h_space.precision import PrecisionConfig
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.training import Objective, train_batches
from trainables.h_space.trajectories import load_cached
from trainables.h_space.trial import Trial

LOW = PrecisionConfig(unet="bfloat16", clip="bfloat16", metrics="bfloat16")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.std())


@torch.no_grad()
def test_lowered_parts_answer_in_float32_and_are_near() -> None:
    """Errors of the kind that bfloat16 makes (two digits), of each part alone, and none of the parts as they are."""
    domain = load_domain("avatars")
    low = domain.at(LOW)
    pictures = domain.load_images(domain.images.ids("test", 4, small_config("avatars").edit))
    noise = torch.randn(4, *domain.diffusion.x_shape, generator=torch.Generator().manual_seed(0))
    assert domain.judge is not None
    assert low.judge is not None
    assert domain.segment is not None
    assert low.segment is not None

    errors = {
        "v": relative(low.diffusion.eps(noise, 500), domain.diffusion.eps(noise, 500)),
        "clip": relative(low.clip.image(pictures), domain.clip.image(pictures)),
        "judge": relative(low.judge.look(pictures), domain.judge.look(pictures)),
    }

    assert all(1e-5 < error < 0.05 for error in errors.values()), errors
    answers = (low.diffusion.eps(noise, 9), low.clip.image(pictures), low.judge.look(pictures))
    assert {answer.dtype for answer in answers} == {torch.float32}
    assert low.diffusion.encode(noise, 500).h.dtype == torch.float32
    assert (low.segment(pictures) == domain.segment(pictures)).float().mean() > 0.98
    assert torch.allclose(low.clip.image(pictures).norm(dim=1), torch.ones(4), atol=1e-6)
    assert torch.equal(low.clip.text(["smiling face"]), domain.clip.text(["smiling face"]))
    assert low.clip.perceptual_distance(pictures, pictures).abs().max() == 0


@torch.no_grad()
def test_the_u_net_is_lowered_below_a_timestep_alone() -> None:
    domain = load_domain("avatars")
    low = domain.at(PrecisionConfig(unet="bfloat16", unet_below=400))
    noise = torch.randn(2, *domain.diffusion.x_shape, generator=torch.Generator().manual_seed(0))

    def moves(t: int | torch.Tensor) -> bool:
        return not torch.equal(low.diffusion.eps(noise, t), domain.diffusion.eps(noise, t))

    assert [moves(t) for t in (399, 400, torch.tensor([399, 400]), torch.tensor([0, 1]))] == [
        *(True, False, False, True)
    ]


def test_a_lowered_trial_resumes_to_the_same_bits_over_the_same_preparation(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    config = tiny_config.model_copy(update={"precision": LOW})
    assert [task for stage in FAMILY.preparation([config], cache_dir) for task in stage] == []

    def begun() -> Trial:
        trial = Trial(config, 0, cache_dir=cache_dir)
        trial.step()
        return trial

    whole = begun()
    whole.save_checkpoint(tmp_path)
    resumed = Trial(config, 0, cache_dir=cache_dir)
    resumed.load_checkpoint(tmp_path, json.loads(json.dumps(list(whole.checkpoint_rows(0)))))
    plain = Trial(tiny_config, 0, cache_dir=cache_dir)
    for trial in (whole, resumed, plain, plain):
        trial.step()
    found, expected, other = resumed.finish(), whole.finish(), plain.finish()

    assert found.curves == expected.curves
    assert found.evaluations == expected.evaluations
    assert found.curves != other.curves
    reconstructions = [
        [row["image"] for row in result.samples if row["kind"] == "reconstruction"]
        for result in (found, other)
    ]
    assert reconstructions[0] == reconstructions[1]
    assert found.summary["judged_gain"] == pytest.approx(other.summary["judged_gain"], abs=0.05)


def test_edit_follows_the_record_and_leaves_the_rest_in_float32(tiny_config: CellConfig) -> None:
    domain = load_domain("avatars")
    editor = tiny_config.editor.build(domain.diffusion.shape, torch.Generator().manual_seed(0), (999,))

    def session(*precisions: PrecisionConfig) -> EditSession:
        configs = (tiny_config.model_copy(update={"precision": one}) for one in precisions)
        metadata = (EditorMetadata(one, domain.diffusion.shape, (999,), {}) for one in configs)
        loaded = [LoadedEditor(tiny_config.editor, editor, one) for one in metadata]
        return EditSession(domain, loaded, EditSettings(num_steps=3))

    sessions = [session(PrecisionConfig(metrics="bfloat16")), session(LOW)]
    plain, low = (one.strip(one.read(one.held_out(1)[0]), has_frames=True) for one in sessions)

    assert sessions[0].notes == []
    assert sessions[1].notes == [
        "note: edits are computed with unet in bfloat16, as the record says; all else is in float32"
    ]
    assert plain.references == low.references
    assert plain.edits != low.edits
    assert {a.tiles[0] == b.tiles[0] for a, b in zip(plain.frames, low.frames, strict=True)} == {True}
    (difference,) = session(LOW, PrecisionConfig()).notes
    assert "different precisions; all is in float32" in difference
    (refusal,) = session(PrecisionConfig(unet="float16")).notes
    assert "unet in float16, which is for GPUs; all is in float32" in refusal
    predicts_epsilon = copy(domain.diffusion)
    predicts_epsilon.prediction_type = "epsilon"
    domain = replace(domain, diffusion=predicts_epsilon)
    (unbounded,) = session(LOW).notes
    assert "predicts epsilon, whose errors grow at noisy timesteps: all is in float32" in unbounded
    bounded = LOW.model_copy(update={"unet_below": 300})
    assert "unet in bfloat16 below t = 300" in session(bounded).notes[0]


def test_gradients_that_are_scaled_on_their_way_are_the_same(
    tiny_config: CellConfig, cache_dir: Path
) -> None:
    domain, batch = load_domain("avatars"), load_cached(tiny_config, "train", cache_dir).batch([0, 1])
    steps = training_timesteps(tiny_config.training.num_train_steps, 900, domain.diffusion.t_max)
    objective = Objective(batch.embedding[0], 1.0, tiny_config.training)
    found: list[torch.Tensor] = []
    for scale in (1.0, 1024.0):
        editor = tiny_config.editor.build(domain.diffusion.shape, torch.Generator().manual_seed(0), (999,))
        weights = list(editor.parameters())

        def keep(weights: list[torch.nn.Parameter] = weights) -> None:
            found.append(torch.cat([w.grad.flatten() for w in weights if w.grad is not None]))

        train_batches(
            *(domain.diffusion, domain.clip.image, editor, objective, [batch], steps, keep),
            gradient_scale=scale,
        )

    assert len(found) == 2 * len(steps)
    assert found[0].abs().max() > 0
    assert torch.allclose(found[0], found[len(steps)], rtol=1e-5, atol=0)


def test_only_what_is_lowered_has_a_part_in_the_identity() -> None:
    domain, plain = domain_summary("avatars"), small_config("avatars")
    found = identity(plain.model_copy(update={"precision": PrecisionConfig(clip="bfloat16")}), domain)

    assert "precision" not in identity(plain, domain)["config"]
    assert found["config"].pop("precision") == {"clip": "bfloat16"}
    assert found == identity(plain, domain)
    bounded = plain.model_copy(update={"precision": PrecisionConfig(unet_below=400)})
    assert FAMILY.canonical(bounded).precision == PrecisionConfig()


@pytest.mark.parametrize(
    ("prediction", "precision", "has_gpu", "expected"),
    [
        ("v_prediction", {"unet": "bfloat16"}, False, {}),
        ("epsilon", {"unet": "bfloat16", "unet_below": 396}, False, {}),
        ("epsilon", {"clip": "bfloat16", "metrics": "float16"}, True, {}),
        ("epsilon", {"unet": "bfloat16"}, True, {"unet": "P_t multiplies its errors by 3.7 to 157 at the trained"}),
        ("epsilon", {"unet": "bfloat16"}, True, {"unet": "unet_below: 396 for timesteps at which it at most doubles"}),
        ("epsilon", {"unet": "float16", "unet_below": 1000}, False, {"unet": "a CPU computes in bfloat16"}),
        ("epsilon", {"unet": "float16", "unet_below": 1001}, True, {"unet_below": "expected at most 1000; found 1001"}),
        ("epsilon", {"decoder": "bfloat16"}, True, {"decoder": "bfloat16: the diffusion model of domain random works"}),
    ],
)  # fmt: skip
def test_what_cannot_be_or_is_multiplied_is_refused_with_a_way_out(
    prediction: str, precision: dict[str, Any], has_gpu: bool, expected: dict[str, str], tmp_path: Path
) -> None:
    write_pixel_model(tmp_path, prediction_type=prediction)
    config = small_config(write_domain(tmp_path), t_edit=513).model_copy(
        update={"precision": PrecisionConfig.model_validate(precision)}
    )

    said = dict(check_cell(config.model_dump(), config, Asked(has_gpu=has_gpu), domain_summary, {}))

    assert said.keys() == {("precision", part) for part in expected}
    for part, words in expected.items():
        assert words in said[("precision", part)]


def test_a_plan_says_what_is_lowered() -> None:
    config = small_config("avatars")
    low = config.model_copy(
        update={"precision": PrecisionConfig(unet="bfloat16", unet_below=396, clip="float16")}
    )

    assert list(FAMILY.remarks([config])) == []
    assert list(FAMILY.remarks([low])) == [
        "avatars: unet in bfloat16 below t = 396, clip in float16, all else in float32"
    ]
