"""The cache of everything unedited."""

from pathlib import Path

import torch

from trainables.config import CellConfig
from trainables.diffusion import generate, timestep_sequence
from trainables.domains import load_domain
from trainables.trajectories import load_cached, preparation_tasks, run_preparation


def with_training(config: CellConfig, **changes: object) -> CellConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def test_nothing_is_left_to_prepare_afterwards(tiny_config: CellConfig, cache_dir: Path) -> None:
    assert preparation_tasks(tiny_config, cache_dir) == []


def test_more_images_need_only_the_missing_ones(tiny_config: CellConfig, cache_dir: Path) -> None:
    tasks = preparation_tasks(with_training(tiny_config, num_images=8), cache_dir)

    assert [task.image_ids for task in tasks] == [("avatar-6", "avatar-7")]


def test_a_higher_t_edit_is_served_by_the_same_files(tiny_config: CellConfig, cache_dir: Path) -> None:
    narrower = with_training(tiny_config, t_edit=700)

    assert preparation_tasks(narrower, cache_dir) == []
    wide, narrow = (
        load_cached(config, "train", cache_dir).batch([0]).p_t for config in (tiny_config, narrower)
    )
    assert wide is not None
    assert narrow is not None
    assert torch.equal(narrow, wide[:, : narrow.shape[1]])


def test_a_lower_t_edit_is_computed_again(tiny_config: CellConfig, cache_dir: Path) -> None:
    tasks = preparation_tasks(with_training(tiny_config, t_edit=100), cache_dir)

    assert sum(len(task.image_ids) for task in tasks) == tiny_config.training.num_images


def test_a_truncated_file_is_computed_again(tiny_config: CellConfig, cache_dir: Path, tmp_path: Path) -> None:
    task, *_ = preparation_tasks(tiny_config, tmp_path)
    run_preparation(task, tmp_path)
    damaged = next(tmp_path.rglob("avatar-0.safetensors"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])

    left = [image_id for task in preparation_tasks(tiny_config, tmp_path) for image_id in task.image_ids]
    run_preparation(task, tmp_path)

    assert "avatar-0" in left
    assert damaged.read_bytes() == whole


def test_the_reconstruction_is_plain_generation(tiny_config: CellConfig, cache_dir: Path) -> None:
    batch = load_cached(tiny_config, "test", cache_dir).batch([0, 1])
    domain = load_domain("avatars")

    generated = generate(
        domain.diffusion, batch.x_T, timestep_sequence(tiny_config.evaluation.num_sample_steps)
    )

    torch.testing.assert_close(generated, batch.reconstruction, atol=1e-4, rtol=1e-4)


def test_training_reads_the_real_original(tiny_config: CellConfig, cache_dir: Path) -> None:
    batch = load_cached(tiny_config, "train", cache_dir).batch([2, 0])

    expected = load_domain("avatars").load_images(["avatar-2", "avatar-0"])

    assert torch.equal(batch.original, expected)
