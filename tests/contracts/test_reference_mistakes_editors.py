"""The published code's mistakes that concern editors (design, section 9); each test fails if one comes back."""

import json
import zlib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from orchestrator.ledger import Ledger
from orchestrator.plan.build import build_plan
from orchestrator.space.config import Space
from orchestrator.study.launch import Study, standing
from orchestrator.study.planning import PlanView, show
from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.h_space.backbones.unet import FrozenDiffusion
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import generate
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editor_file import EditorFileError, load_editor, save_editor
from trainables.h_space.editors import EDITORS, num_parameters
from trainables.h_space.editors_import import import_editor, import_state
from trainables.h_space.evaluation import png
from trainables.h_space.timesteps import timestep_sequence
from trainables.h_space.trajectories import load_cached, preparation_tasks, run_preparation
from trainables.h_space.trial import Trial, TrialResult

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")

SHAPE = BottleneckShape(32, 4, 4, 16)
PUBLISHED = BottleneckShape(512, 8, 8, 512)
TIMESTEPS = (999, 749, 500)


def cell(**editor: Any) -> CellConfig:
    return CellConfig.model_validate({"domain": "avatars", "attribute": "smiling", "editor": editor})


def build(config: CellConfig, shape: BottleneckShape = SHAPE) -> nn.Module:
    return config.editor.build(shape, torch.Generator().manual_seed(0), TIMESTEPS)


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 32, 4, 4, generator=generator), torch.randn(2, 16, generator=generator)


def published_state(name: str) -> dict[str, Tensor]:
    """An editor's weights in the published naming: its recorded keys and shapes, any numbers."""
    shapes = json.loads((DATA / "oracle" / "editors_keys.json").read_text())[name]
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return {key: 0.05 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


@torch.no_grad()
def test_the_head_count_is_not_lost_with_the_checkpoint(tmp_path: Path) -> None:
    four, one = cell(kind="pixel", num_heads=4), cell(kind="pixel", num_heads=1)
    editor = build(four)
    save_editor(tmp_path / "four.safetensors", editor, four, SHAPE, TIMESTEPS, {})

    settings, loaded, _ = load_editor(tmp_path / "four.safetensors")

    assert settings.model_dump()["num_heads"] == 4
    assert torch.equal(loaded(*inputs(), 999), editor(*inputs(), 999))
    mistaken = build(one)
    mistaken.load_state_dict(editor.state_dict())  # fits without a word, which is the trap
    assert not torch.allclose(mistaken(*inputs(), 999), editor(*inputs(), 999))


@needs_data
@pytest.mark.parametrize("name", ["p_h1_add", "c_h1_add", "pc_h8_add", "pc_h4_adagn", "cp_h2_mult"])
def test_a_published_checkpoint_is_not_imported_without_its_head_count(name: str) -> None:
    kind = {"p": "pixel", "c": "channel", "pc": "pixel_channel", "cp": "channel_pixel"}[name.split("_")[0]]

    with pytest.raises(EditorFileError, match="num_heads must be given"):
        import_state(published_state(name), kind=kind)


class Finished(NamedTuple):
    """A trial that was trained and measured, its editor's file and the trajectory cache."""

    trial: Trial
    result: TrialResult
    file: Path
    cache_dir: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One epoch on the built-in domain, with settings that a checkpoint does not store."""
    settings = {
        "domain": "avatars",
        "attribute": "smiling",
        "editor": {"kind": "pixel", "num_heads": 4, "activation": "gelu", "norm": "instance"},
        "training": {"num_images": 2, "batch_size": 2, "epochs": 1, "num_train_steps": 4},
        "evaluation": {"num_images": 1, "strengths": [1.0], "num_sample_steps": 4, "num_preview_images": 1},
    }
    config = CellConfig.model_validate(settings)
    folder = tmp_path_factory.mktemp("trial")
    for task in preparation_tasks(config, folder):
        run_preparation(task, folder)
    trial = Trial(config, 0, cache_dir=folder)
    trial.step()
    trial.save_model(folder / "trained.safetensors")
    return Finished(trial, trial.finish(), folder / "trained.safetensors", folder)


def test_evaluation_builds_no_other_editor_than_the_trained_one(finished: Finished) -> None:
    (measured,) = [row for row in finished.result.samples if row["kind"] == "edit"]

    settings, loaded, metadata = load_editor(finished.file)
    held_out = load_cached(metadata.config, "held_out", finished.cache_dir).batch([0])
    edit = generate(
        load_domain("avatars").diffusion,
        held_out.x_T,
        timestep_sequence(4, 999),
        loaded,
        t_edit=metadata.config.training.lowest_t,
    )

    assert settings == finished.trial.config.editor
    assert measured["image"] == png(edit[0], held_out_id := measured["image_id"])
    assert measured["image"] != png(held_out.reconstruction[0], held_out_id)


@pytest.mark.parametrize("silu", ["", "_silu"])
@pytest.mark.parametrize("kind", ["conv", "pixel", "channel", "pixel_channel", "channel_pixel"])
def test_adaptive_group_norm_counts_no_dead_weights(kind: str, silu: str) -> None:
    config = cell(kind=kind, temporal=f"adaptive_group_norm{silu}")
    editor = build(config)
    time_and_norm_of_add = (512 * 512 + 512) + 2 * 512

    editor(*inputs(), 999).square().mean().backward()

    assert all(p.grad is not None and p.grad.any() for p in editor.parameters())
    added = cell(kind=kind)
    sizes = [num_parameters(c.editor, PUBLISHED, TIMESTEPS) for c in (config, added)]
    assert sizes[0] - sizes[1] == 2 * (512 * 512 + 512) - time_and_norm_of_add


@needs_data
@pytest.mark.parametrize("name", ["conv_h1_adagn", "pc_h4_adagn"])
def test_importing_drops_what_adaptive_group_norm_never_used(name: str) -> None:
    state = published_state(name)
    heads = {} if name.startswith("conv") else {"kind": "pixel_channel", "num_heads": 4}

    imported = import_state(state, **heads)

    assert set(imported.dropped) == {"temb_proj.weight", "temb_proj.bias", "norm2.weight", "norm2.bias"}
    kept = sum(p.numel() for p in imported.editor.parameters())
    assert kept == sum(value.numel() for value in state.values()) - 263_680
    assert kept == num_parameters(imported.settings, PUBLISHED, ())


@needs_data
@pytest.mark.parametrize("file", ["smiling_ddpm_celebahq.pth", "dog_happy_iddpm_afhq.pth"])
def test_the_released_checkpoints_keep_all_their_weights(file: str) -> None:
    imported = import_editor(DATA / "official_checkpoints" / file)

    assert imported.dropped == ()
    assert imported.settings.model_dump()["temporal"] == "add"


@pytest.mark.parametrize("kind", ["direct", "direct_shared"])
def test_a_direct_delta_h_edits_and_learns(kind: str, tiny_diffusion: FrozenDiffusion) -> None:
    settings = EDITORS[kind].model_validate({"kind": kind})
    editor = settings.build(tiny_diffusion.shape, torch.Generator().manual_seed(0), TIMESTEPS)
    x_t = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    for t in TIMESTEPS:
        encoded = tiny_diffusion.encode(x_t, t)
        eps_edit = tiny_diffusion.decode(encoded, encoded.h + editor(encoded.h, encoded.temb, t))
        eps_edit.square().mean().backward()

        assert not torch.equal(eps_edit, tiny_diffusion.decode(encoded))
    assert all(p.grad is not None and p.grad.norm() > 1e-6 for p in editor.parameters())


@pytest.mark.parametrize("kind", ["conv", "pixel_channel"])
@torch.no_grad()
def test_instance_norm_with_additive_time_is_warned_about_in_the_plan(
    kind: str, load: Callable[..., Space], space_text: str, tmp_path: Path
) -> None:
    text = space_text.replace("kind: pixel_channel, num_heads: 1", f"kind: {kind}")
    norms = "axes:\n  norm: {path: editor.norm, values: [group, instance]}\n"
    space = load(text.replace("axes:\n", norms))

    plan = build_plan(space)
    study = Study(space, plan, tmp_path / "space", None)
    printed = StringIO()
    show(
        PlanView(study, standing(study, Ledger(study.ledger_folder)), None), Console(file=printed, width=400)
    )

    lines = printed.getvalue().splitlines()
    assert any("norm=instance: " in line and "does not know the timestep" in line for line in lines)
    assert not any("baseline: " in line and "timestep" in line for line in lines)
    h, temb = inputs()
    blind = build(cell(kind=kind, norm="instance"))
    torch.testing.assert_close(blind(h, temb, 999), blind(h, temb + 1, 999), rtol=1e-3, atol=1e-4)


def test_instance_norm_with_additive_time_is_warned_about_in_the_record(finished: Finished) -> None:
    assert any("does not know the timestep" in note for note in finished.result.notes)
