"""t_edit and t_boost from the distance curves."""

from pathlib import Path

import pytest
import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary, shipped_domains
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.domains.thresholds import PUBLISHED_THRESHOLDS
from trainables.h_space.editing_interval import (
    NUM_IMAGES,
    Curves,
    IntervalError,
    IntervalTask,
    interval_notes,
    interval_of,
    interval_tasks,
    measure,
    missing_tasks,
    read_cosine,
    read_curves,
    resolved,
    run_interval,
)
from trainables.h_space.trajectories import preparation_tasks
from trainables.h_space.trajectory_files import PreparationTask

CURVES = Curves(
    (0, 100, 200, 300, 400),
    predicted=torch.tensor([[0.0, 0.1, 0.3, 0.2, 0.4], [0.0, 0.1, 0.1, 0.2, 0.6]]),
    noisy=torch.tensor([[0.0, 0.8, 1.2, 1.3, 1.4], [0.0, 0.6, 1.1, 1.3, 1.4]]),
)


def with_t_edit(config: CellConfig, t_edit: object) -> CellConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"t_edit": t_edit})})


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `auto` needs, but of curves that are made up: only the prompt cosine is computed."""
    folder = tmp_path_factory.mktemp("interval")
    for task in missing_tasks("avatars", [], folder):
        made_up = Curves(
            (), torch.linspace(0, 0.5, 100).expand(8, -1), torch.linspace(0, 1.4, 100).expand(8, -1)
        )
        keep(task, made_up, folder)
    return folder


def keep(task: IntervalTask, curves: Curves, folder: Path) -> None:
    from trainables.atomic import save_tensors
    from trainables.h_space import editing_interval

    tensors = {"predicted": curves.predicted.contiguous(), "noisy": curves.noisy.contiguous()}
    save_tensors(editing_interval._path(folder, task), tensors, {})


@pytest.fixture
def automatic(tiny_config: CellConfig, small_cache: Path) -> CellConfig:
    config = with_t_edit(tiny_config, "auto")
    for task in interval_tasks(config, small_cache):
        run_interval(task, small_cache)
    return config


def test_t_edit_is_the_first_t_whose_mean_reaches_the_share_of_the_cosine() -> None:
    found = interval_of(CURVES, 0.6, 0.1, PUBLISHED_THRESHOLDS)

    assert found.threshold == pytest.approx(0.33 * 0.6)
    assert found.t_edit == 200


def test_a_negative_cosine_is_guarded_as_in_the_loss() -> None:
    found = interval_of(CURVES, -0.2, 0.1, PUBLISHED_THRESHOLDS)

    assert (found.cosine, found.t_edit) == (0.1, 100)


def test_t_boost_is_where_the_noisy_image_is_far_enough() -> None:
    assert CURVES.t_boost(PUBLISHED_THRESHOLDS.t_boost) == 300
    assert CURVES.t_boost(0.7) == 100


def test_a_curve_that_never_gets_there_says_what_to_do() -> None:
    with pytest.raises(IntervalError, match=r"never farther .* than 0\.500, .* t_edit a number"):
        CURVES.t_edit(0.9)


def test_the_curves_begin_at_the_image_and_grow() -> None:
    domain = load_domain("avatars")

    curves = measure(domain, domain.load_images(["avatar-0", "avatar-1"]), num_steps=5)

    assert curves.timesteps == (0, 249, 499, 749, 999)
    assert curves.predicted.shape == curves.noisy.shape == (2, 5)
    assert (curves.predicted[:, 0] < 0.01).all()
    assert curves.noisy[:, 0].abs().max() == 0
    assert (curves.noisy.diff() > 0).all()
    assert (curves.predicted[:, -1] < curves.noisy[:, -1]).all()


def test_a_given_t_edit_wins_and_zero_is_one(tiny_config: CellConfig, tmp_path: Path) -> None:
    for t_edit in (0, 500):
        given = with_t_edit(tiny_config, t_edit)

        assert interval_tasks(given, tmp_path) == []
        assert resolved(given, tmp_path) is given
        assert interval_notes(given, tmp_path) == []


def test_auto_is_found_from_the_cache_and_told(automatic: CellConfig, small_cache: Path) -> None:
    cosine = read_cosine("avatars", automatic.edit, small_cache)
    floor = automatic.training.min_prompt_cosine
    expected = interval_of(read_curves("avatars", small_cache), cosine, floor, PUBLISHED_THRESHOLDS)

    config = resolved(automatic, small_cache)

    assert config.training.t_edit == expected.t_edit
    assert config.model_copy(update={"training": automatic.training}) == automatic
    (note,) = interval_notes(automatic, small_cache)
    assert note.startswith(f"training.t_edit auto is {expected.t_edit}: ")
    assert "0.33 times the prompt cosine" in note
    assert note.endswith("distance by the domain's CLIP features, thresholds those published for LPIPS)")


def test_a_domain_states_thresholds_of_its_own(
    automatic: CellConfig, small_cache: Path, tmp_path: Path
) -> None:
    folder = shipped_domains()["avatars"].parent
    text = (folder / "domain.yaml").read_text(encoding="utf-8").replace("weights", f"{folder}/weights")
    own = tmp_path / "domain.yaml"
    own.write_text(f"{text}interval: {{t_edit: 0.2, t_boost: 0.7}}\n", encoding="utf-8")
    config = automatic.model_copy(update={"domain": str(own)})

    assert domain_summary(str(own)).fingerprint == domain_summary("avatars").fingerprint
    assert interval_tasks(config, small_cache) == []
    assert (
        resolved(config, small_cache).training.lowest_t < resolved(automatic, small_cache).training.lowest_t
    )
    (note,) = interval_notes(config, small_cache)
    assert "0.2 times the prompt cosine" in note
    assert note.endswith("distance by the domain's CLIP features)")


def test_the_cosine_is_that_of_the_bare_prompts(automatic: CellConfig, small_cache: Path) -> None:
    source, target = load_domain("avatars").clip.text([automatic.edit.source, automatic.edit.target])

    assert read_cosine("avatars", automatic.edit, small_cache) == pytest.approx(
        float(source @ target), abs=1e-6
    )


def test_nothing_is_left_to_compute_afterwards(automatic: CellConfig, small_cache: Path) -> None:
    assert interval_tasks(automatic, small_cache) == []


def test_before_that_auto_has_no_number(tiny_config: CellConfig, tmp_path: Path) -> None:
    automatic = with_t_edit(tiny_config, "auto")

    tasks = interval_tasks(automatic, tmp_path)

    assert sum(len(task.image_ids) for task in tasks) == NUM_IMAGES
    assert [task.prompts for task in tasks if task.prompts] == [("face", "smiling face")]
    with pytest.raises(FileNotFoundError, match="auto needs has not been prepared"):
        resolved(automatic, tmp_path)


def test_t_edit_is_found_before_the_trajectories_that_need_it(
    automatic: CellConfig, small_cache: Path, tmp_path: Path
) -> None:
    before = preparation_tasks(automatic, tmp_path)
    after = preparation_tasks(automatic, small_cache)

    assert {task.prompts for task in before if isinstance(task, IntervalTask)} == {
        None,
        ("face", "smiling face"),
    }
    assert not any(isinstance(task, IntervalTask) for task in after)
    t_edit = resolved(automatic, small_cache).training.t_edit
    assert {task.lowest_t for task in after if isinstance(task, PreparationTask)} == {None, t_edit}


def test_a_chunk_is_computed_once_and_again_when_damaged(tmp_path: Path) -> None:
    task = IntervalTask("avatars", domain_summary("avatars").fingerprint, ("avatar-3",), num_steps=3)
    run_interval(task, tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    whole, written_at = file.read_bytes(), file.stat().st_mtime_ns

    run_interval(task, tmp_path)
    assert file.stat().st_mtime_ns == written_at

    file.write_bytes(whole[: len(whole) // 2])
    run_interval(task, tmp_path)
    assert file.read_bytes() == whole


def test_more_images_need_only_the_missing_ones(small_cache: Path) -> None:
    tasks = missing_tasks("avatars", [], small_cache, num_images=NUM_IMAGES + 8)

    assert [task.image_ids[0] for task in tasks] == [f"avatar-{NUM_IMAGES}"]
