"""The cache of everything unedited."""

import shutil
from pathlib import Path

import pytest
import torch

from trainables.h_space import trajectory_files
from trainables.h_space.backbones.unet import Encoded, FrozenDiffusion
from trainables.h_space.config import CellConfig
from trainables.h_space.diffusion import generate, unedited_trajectory
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.editing_interval import IntervalTask
from trainables.h_space.references import ReferenceTask, needed
from trainables.h_space.timesteps import timestep_sequence, training_timesteps
from trainables.h_space.trajectories import (
    load_cached,
    merged,
    preparation_tasks,
    preparation_work,
    run_preparation,
    unedited_states,
)
from trainables.h_space.trajectory_files import PreparationTask, path_of, read
from trainables.h_space.trial import Trial


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


def image_tasks(config: CellConfig, cache_dir: Path) -> list[PreparationTask]:
    return [task for task in preparation_tasks(config, cache_dir) if isinstance(task, PreparationTask)]


def test_a_truncated_file_is_computed_again(tiny_config: CellConfig, cache_dir: Path, tmp_path: Path) -> None:
    task, *_ = image_tasks(tiny_config, tmp_path)
    run_preparation(task, tmp_path)
    damaged = next(tmp_path.rglob("avatar-0.safetensors"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])

    left = [image_id for task in image_tasks(tiny_config, tmp_path) for image_id in task.image_ids]
    run_preparation(task, tmp_path)

    assert "avatar-0" in left
    assert damaged.read_bytes() == whole


def test_an_image_of_a_batch_does_not_depend_on_its_company(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    """Eight go through the U-Net together, filled up where they are fewer."""
    for config in (with_training(tiny_config, num_images=1, t_edit=700), tiny_config):
        prepare(config, tmp_path)

    at_once, in_steps = (
        load_cached(tiny_config, "train", cache).batch(range(tiny_config.training.num_images))
        for cache in (cache_dir, tmp_path)
    )

    for name, whole in vars(at_once).items():
        if whole is not None:
            assert torch.equal(whole, getattr(in_steps, name)), name


def test_images_of_a_large_model_go_through_it_alone_on_a_cpu(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trajectory_files, "_LARGE", 3 * 32 * 32)
    task = image_tasks(with_training(tiny_config, num_images=1), tmp_path)[0]
    sizes: list[int] = []
    encode = FrozenDiffusion.encode

    def watched(model: FrozenDiffusion, x_t: torch.Tensor, t: int) -> Encoded:
        sizes.append(len(x_t))
        return encode(model, x_t, t)

    monkeypatch.setattr(FrozenDiffusion, "encode", watched)
    run_preparation(task, tmp_path)

    assert set(sizes) == {1}
    alone, in_eight = (
        read(path_of(cache, task, "avatar-0"), {"p_t"})["p_t"] for cache in (tmp_path, cache_dir)
    )
    assert torch.allclose(alone, in_eight, atol=1e-3)


def test_every_seed_has_images_of_its_own_and_all_cells_share_them(tiny_config: CellConfig) -> None:
    by_seed = tiny_config.model_copy(update={"images": "by_seed"})
    other_cell = with_training(by_seed, lambda_clip=2.0)

    first, again, second = (
        {
            image_id
            for task in preparation_tasks(config.with_seed(seed), Path("nowhere"))
            if isinstance(task, PreparationTask)
            for image_id in task.image_ids
        }
        for config, seed in ((by_seed, 0), (other_cell, 0), (by_seed, 1))
    )

    assert first == again
    assert len(first) == len(second) == 10
    assert not first & second


def test_the_reconstruction_is_plain_generation(tiny_config: CellConfig, cache_dir: Path) -> None:
    batch = load_cached(tiny_config, "held_out", cache_dir).batch([0, 1])
    domain = load_domain("avatars")

    generated = generate(
        domain.diffusion, batch.x_T, timestep_sequence(tiny_config.evaluation.num_sample_steps, 999)
    )

    torch.testing.assert_close(generated, batch.reconstruction, atol=1e-4, rtol=1e-4)


def test_training_reads_the_real_original(tiny_config: CellConfig, cache_dir: Path) -> None:
    batch = load_cached(tiny_config, "train", cache_dir).batch([2, 0])

    expected = load_domain("avatars").load_images(["avatar-2", "avatar-0"])

    assert torch.equal(batch.original, expected)


# What a configuration asks for beyond the usual


@pytest.fixture
def own_cache(tiny_config: CellConfig, cache_dir: Path, tmp_path: Path) -> Path:
    """A copy of the shared cache, for tests that add to it."""
    return Path(shutil.copytree(cache_dir, tmp_path / "cache"))


def prepare(config: CellConfig, cache_dir: Path) -> None:
    for task in preparation_tasks(config, cache_dir):
        run_preparation(task, cache_dir)


def test_the_cache_holds_the_whole_unedited_process(tiny_config: CellConfig, cache_dir: Path) -> None:
    """x_t and eps of every timestep follow from eps at the first and the P_t, without a pass of the U-Net."""
    diffusion = load_domain("avatars").diffusion
    low = with_training(tiny_config, t_edit=100)
    timesteps = training_timesteps(low.training.num_train_steps, low.training.lowest_t, 999)
    x_T = load_cached(tiny_config, "train", cache_dir).batch([0, 3]).x_T
    walked = list(unedited_trajectory(diffusion, x_T, timestep_sequence(low.training.num_train_steps, 999)))
    p_t = torch.stack([point.p_t for point in walked], dim=1)

    found = list(unedited_states(walked[0].eps, p_t, timesteps, diffusion))

    assert len(found) == len(timesteps) == 5
    for (x_t, eps), point in zip(found, walked, strict=False):
        torch.testing.assert_close(x_t, point.x_t, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(eps, point.eps, atol=1e-4, rtol=1e-4)


def test_embeddings_of_p_t_are_added_to_files_that_lack_them(
    tiny_config: CellConfig, own_cache: Path
) -> None:
    before = load_cached(tiny_config, "train", own_cache).batch([0, 1])
    asking = with_training(tiny_config, clip_reference="unedited")
    assert preparation_work([asking], own_cache).passes == 0  # CLIP only

    prepare(asking, own_cache)

    after = load_cached(asking, "train", own_cache).batch([0, 1])
    assert after.p_embedding is not None
    assert after.p_t is not None
    assert torch.equal(after.x_T, before.x_T)
    assert torch.equal(after.p_embedding[1, 2], load_domain("avatars").clip.image(after.p_t[1, 2:3])[0])
    assert load_cached(tiny_config, "train", own_cache).batch([0]).p_embedding is None
    assert preparation_tasks(tiny_config, own_cache) == preparation_tasks(asking, own_cache) == []


def test_a_lower_t_edit_keeps_the_inversion_and_the_embeddings(
    tiny_config: CellConfig, own_cache: Path
) -> None:
    asking = with_training(tiny_config, clip_reference="unedited")
    prepare(asking, own_cache)
    before = load_cached(asking, "train", own_cache).batch([0])
    lower = with_training(tiny_config, t_edit=100)
    num_images, num_steps = lower.training.num_images, lower.training.num_train_steps
    assert preparation_work([lower], own_cache).passes == num_images * num_steps  # no inversion any more

    prepare(lower, own_cache)

    after = load_cached(with_training(asking, t_edit=100), "train", own_cache).batch([0])
    for name in ("x_T", "p_t", "p_embedding"):
        whole, part = getattr(after, name), getattr(before, name)
        assert torch.equal(whole[:, : part.shape[1]], part)


def embedded_texts(config: CellConfig) -> list[str]:
    return [one.texts[0] for one in needed(config) if one.kind == "prompts"]


def test_work_counts_every_image_and_text_once(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    lower = with_training(tiny_config, t_edit=100)
    other = with_training(tiny_config, clip_reference="unedited")

    work = preparation_work([tiny_config, lower, other], tmp_path)

    images = tiny_config.training.num_images + tiny_config.evaluation.num_images
    assert work.passes == images * (5 + 6)
    assert work.texts == len(set(embedded_texts(tiny_config)))
    assert not preparation_work([tiny_config], cache_dir)


def test_tasks_for_one_file_are_joined(tiny_config: CellConfig, tmp_path: Path) -> None:
    lower = with_training(tiny_config, t_edit=100)
    asking = with_training(tiny_config, clip_reference="unedited", num_images=7)
    tasks = [task for config in (lower, tiny_config, asking) for task in preparation_tasks(config, tmp_path)]

    joined = merged(tasks)

    training = [task for task in joined if isinstance(task, PreparationTask) and task.split == "train"]
    assert sorted(len(task.image_ids) for task in training) == [1, 6]
    assert {(len(task.image_ids), task.lowest_t, task.embeds_p_t) for task in training} == {
        (6, 100, True),
        (1, 500, True),
    }
    for task in joined:
        run_preparation(task, tmp_path)
    assert [preparation_tasks(config, tmp_path) for config in (tiny_config, lower, asking)] == [[], [], []]


def test_an_open_t_edit_is_found_before_training_images_are_prepared(
    tiny_config: CellConfig, tmp_path: Path
) -> None:
    open_config = with_training(tiny_config, t_edit="auto")

    tasks = preparation_tasks(open_config, tmp_path)

    assert {type(task) for task in tasks} == {IntervalTask, PreparationTask, ReferenceTask}
    assert {task.split for task in tasks if isinstance(task, PreparationTask)} == {"test"}
    with pytest.raises(FileNotFoundError, match=r"training\.t_edit auto"):
        Trial(open_config, 0, cache_dir=tmp_path)
    finding = sum(len(task.image_ids) * task.num_steps for task in tasks if isinstance(task, IntervalTask))
    known = preparation_work([with_training(tiny_config, t_edit=0)], tmp_path)
    assert preparation_work([open_config], tmp_path).passes == finding + known.passes


def test_every_image_of_nested_folders_has_a_file_of_its_own(tmp_path: Path) -> None:
    task = PreparationTask("avatars", "0" * 16, "train", ("avatar-3",), 4, 0, 4, None)
    ids = [
        "train/a.png",
        "train/a/b.png",
        "train/a__b.png",
        "train/a/b__c.png",
        "train/a__b/c.png",
        "x" * 300,
    ]

    paths = [path_of(tmp_path, task, image_id) for image_id in ids]

    assert len(set(paths)) == len(ids)
    assert paths[0].name == "train__a.png.safetensors"
    assert all(len(path.name.encode()) < 200 for path in paths)
