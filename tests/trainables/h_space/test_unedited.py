"""What edits are compared with is seen once per study; trials read it."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.h_space import evaluation, unedited
from trainables.h_space.attributes import Attribute
from trainables.h_space.config import CellConfig, EvaluationConfig
from trainables.h_space.domains.loading import Domain, load_domain
from trainables.h_space.evaluation import Evaluation
from trainables.h_space.family import FAMILY
from trainables.h_space.metrics import Pictures
from trainables.h_space.perception import FeatureExtractor
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.trajectories import kept_pictures, load_cached, picture_tasks, preparation_work
from trainables.h_space.trial import Trial
from trainables.h_space.unedited import Asked, UneditedTask, run_unedited, seen


def with_evaluation(config: CellConfig, **settings: Any) -> CellConfig:
    own = config.evaluation.model_dump() | settings
    return config.model_copy(update={"evaluation": EvaluationConfig.model_validate(own)})


def kinds(tasks: list[UneditedTask]) -> list[tuple[str, int, int]]:
    return [(task.kind, task.num_steps, task.num_pictures) for task in tasks]


@pytest.fixture(scope="module")
def config(tiny_config: CellConfig) -> CellConfig:
    """Four images in two batches, at two step counts, with their parts."""
    metrics = ["segmentation_consistency", "segmentation_consistency_from_reconstruction"]
    return with_evaluation(tiny_config, more_sample_steps=[4], metrics=metrics)


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unedited, "IMAGES_PER_BATCH", 3)
        yield


@pytest.fixture(scope="module")
def prepared(config: CellConfig, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unedited") / "cache"
    shutil.copytree(cache_dir, folder, ignore=shutil.ignore_patterns("unedited"))
    for stage in FAMILY.preparation([config], folder):
        for task in stage:
            FAMILY.run_preparation(task, folder, "cpu")
    return folder


def test_the_bytes_that_preparation_takes_are_told_before(
    config: CellConfig, prepared: Path, tmp_path: Path
) -> None:
    told = FAMILY.preparation_bytes([config], tmp_path)

    taken = sum(path.stat().st_size for path in prepared.rglob("*.safetensors"))
    assert 0.9 * taken < told < 1.2 * taken


def made(config: CellConfig, cache_dir: Path, kept: bool) -> Evaluation:
    domain = load_domain("avatars")
    texts, images = AttributeTexts.of(domain, config.edit), load_cached(config, "held_out", cache_dir)
    found = kept_pictures(config, cache_dir) if kept else None
    return Evaluation(config, domain, images, texts, kept=found)


def test_pictures_that_are_read_equal_those_that_are_computed_to_the_last_bit(
    config: CellConfig, prepared: Path
) -> None:
    """Their order in memory included: drawn pictures are (B, H, W, C) there, and sums in another order move."""
    read, computed = (made(config, prepared, kept) for kept in (True, False))
    images = load_cached(config, "held_out", prepared)

    for rows in ([0, 1, 2], [3]):
        for steps in (6, 4):
            batches = [one.unedited(rows, images.batch(rows), steps) for one in (read, computed)]
            for kind in ("original", "reconstruction", "counterfactual"):
                a, b = (vars(getattr(batch, kind)) for batch in batches)
                found, wanted = (
                    {name: value for name, value in one.items() if value is not None} for one in (a, b)
                )
                assert found.keys() == wanted.keys() == {"pixels", "embedding", "parts", "judged"}
                for name, value in wanted.items():
                    assert torch.equal(found[name], value)
                    assert found[name].stride() == value.stride()


def test_a_trial_looks_at_no_unedited_picture(
    config: CellConfig, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _, _ = made(config, prepared, kept=False).run(_push, 1)

    def refuse(*given: object) -> Pictures:
        raise AssertionError("a worker looked at an unedited picture")

    for name in ("seen", "originals", "counterfactuals"):
        monkeypatch.setattr(evaluation, name, refuse)

    found, _, _ = made(config, prepared, kept=True).run(_push, 1)

    assert found == expected
    trial = Trial(config, 0, cache_dir=prepared)
    while not trial.is_done:
        trial.step()
    assert trial.finish().evaluations


def _push(h: torch.Tensor, temb: torch.Tensor, t: int) -> torch.Tensor:
    return 0.3 * h.flip(1)


def test_a_piece_that_is_missing_or_damaged_is_prepared_again_and_no_other(
    config: CellConfig, prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(prepared, folder)
    first, second = sorted(folder.rglob("counterfactual_*"))
    whole = {path: path.read_bytes() for path in (first, second)}
    first.write_bytes(whole[first][:1000])
    second.unlink()
    expected, _, _ = made(config, prepared, kept=True).run(_push, 1)

    found, _, _ = made(config, folder, kept=True).run(_push, 1)
    tasks = picture_tasks([config], folder)
    for task in tasks:
        run_unedited(task, folder)

    assert found == expected  # what is not there, a trial computes
    assert sorted(kinds(tasks)) == [("counterfactual", 0, 1), ("counterfactual", 0, 3)]
    assert {path: path.read_bytes() for path in (first, second)} == whole
    assert picture_tasks([config], folder) == []


def test_pieces_are_shared_by_all_that_they_do_not_depend_on(
    config: CellConfig, tiny_config: CellConfig, prepared: Path
) -> None:
    other_training = tiny_config.training.model_copy(update={"epochs": 9, "t_edit": 300})
    alike = config.model_copy(update={"training": other_training})
    more_steps = with_evaluation(config, more_sample_steps=[4, 3])
    longer = config.model_copy(
        update={"training": tiny_config.training.model_copy(update={"num_train_steps": 8})}
    )

    assert picture_tasks([config, alike], prepared) == []
    assert kinds(picture_tasks([config, more_steps], prepared)) == [
        ("reconstruction", 3, 3),
        ("reconstruction", 3, 1),
    ]
    assert {task.kind for task in picture_tasks([longer], prepared)} == {"reconstruction"}
    in_no_parts = picture_tasks([with_evaluation(config, metrics=())], prepared)
    assert {task.kind for task in in_no_parts} == {"original", "reconstruction", "counterfactual"}


def test_reconstructions_with_a_boost_are_left_to_the_trial(config: CellConfig, prepared: Path) -> None:
    boosted = with_evaluation(config, t_boost=200)

    assert picture_tasks([boosted], prepared) == []
    kept, computed = (made(boosted, prepared, one).run(_push, 1)[0] for one in (True, False))
    assert kept == computed


def test_another_segmenter_sees_other_parts(
    config: CellConfig, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in unedited._SEGMENTERS.glob("avatars.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(unedited, "_SEGMENTERS", tmp_path)
    assert picture_tasks([config], prepared) == []

    weights = tmp_path / "avatars.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")

    assert len(picture_tasks([config], prepared)) == 2 * 4
    unsegmented = with_evaluation(config, metrics=())
    before = picture_tasks([unsegmented], prepared)
    monkeypatch.undo()
    assert picture_tasks([unsegmented], prepared) == before


def test_inception_features_are_asked_for_where_sets_are_compared_in_them(config: CellConfig) -> None:
    offers = frozenset({"inception"})
    in_clip = with_evaluation(config, fid_features="clip").evaluation

    assert Asked.of(config.evaluation, offers) == Asked(parts=False, inception=True)
    assert not Asked.of(in_clip, offers).inception
    assert not Asked.of(config.evaluation, frozenset()).inception

    def extract(pictures: Pictures) -> torch.Tensor:
        return pictures.pixels.flatten(1)[:, :2]

    domain: Domain = replace(load_domain("avatars"), inception=FeatureExtractor("two pixels", 2, extract))
    pixels = torch.rand(2, 3, 32, 32)
    found = seen(domain, pixels, Asked(parts=False, inception=True)).inception
    assert found is not None
    assert torch.equal(found, pixels[:, 0, 0, :2])


def test_a_task_needs_nothing_but_its_content(config: CellConfig, tmp_path: Path) -> None:
    tasks = picture_tasks([config], tmp_path)

    assert len(set(tasks)) == len(tasks) == 2 * 4
    assert {type(task.attribute) for task in tasks} == {Attribute}


def test_pictures_are_priced_where_they_are_computed(
    config: CellConfig, prepared: Path, tmp_path: Path
) -> None:
    work = preparation_work([config, config], tmp_path)

    assert (work.pictures, work.steps) == (4 * 4, 4 * 4)  # 4 images: 4 kinds, and 4 steps of one of them
    assert not preparation_work([config], prepared)
