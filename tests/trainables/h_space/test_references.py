"""Texts and probes are embedded once per study; workers read them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainables.h_space import references
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.clip import ClipModel
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.loading import load_domain
from trainables.h_space.prompts import AttributeTexts
from trainables.h_space.references import (
    computed,
    in_templates,
    kept_references,
    needed,
    reference_tasks,
    run_reference,
)
from trainables.h_space.trial import Trial


def prepare(config: CellConfig, cache_dir: Path) -> None:
    for task in reference_tasks(config, cache_dir):
        run_reference(task, cache_dir)


@pytest.fixture(scope="module")
def own_cache(tiny_config: CellConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    prepare(tiny_config, folder)
    return folder


def test_what_is_read_equals_what_is_computed_to_the_last_bit(
    tiny_config: CellConfig, own_cache: Path
) -> None:
    domain = load_domain("avatars")
    look_up = kept_references(domain, domain_summary("avatars"), own_cache)

    for one in needed(tiny_config):
        found, expected = look_up(one), computed(domain, one)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    kept, direct = (AttributeTexts.of(domain, tiny_config.edit, source) for source in (look_up, None))
    assert torch.equal(kept.direction, direct.direction)
    assert kept.prompt_cosine == direct.prompt_cosine


def test_a_trial_embeds_no_text(
    tiny_config: CellConfig, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: ClipModel, texts: object) -> Tensor:
        raise AssertionError(f"a worker embedded {texts}")

    monkeypatch.setattr(ClipModel, "text", refuse)

    trial = Trial(tiny_config, 0, cache_dir=cache_dir)

    assert not trial.is_done


def test_an_attribute_adds_only_the_texts_that_no_other_has(tiny_config: CellConfig, own_cache: Path) -> None:
    other = tiny_config.model_copy(update={"attribute": "goblin"})

    kinds = [task.reference.kind for task in reference_tasks(other, own_cache)]

    assert sorted(kinds) == ["bare", "probe"]


def test_a_damaged_piece_is_computed_again(tiny_config: CellConfig, own_cache: Path, tmp_path: Path) -> None:
    prepare(tiny_config, tmp_path)
    damaged = next(tmp_path.rglob("bare_*.safetensors"))
    whole = damaged.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        damaged.write_bytes(content)

        (task,) = reference_tasks(tiny_config, tmp_path)
        run_reference(task, tmp_path)

        assert task.reference.kind == "bare"
        assert damaged.read_bytes() == whole


def test_a_piece_that_was_not_prepared_is_named(tiny_config: CellConfig, tmp_path: Path) -> None:
    look_up = kept_references(load_domain("avatars"), domain_summary("avatars"), tmp_path)

    with pytest.raises(FileNotFoundError, match="prompts of smiling face has not been prepared"):
        look_up(in_templates("smiling face"))


def test_a_label_too_rare_for_a_probe_is_remembered_as_such(
    tiny_config: CellConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed.cache_clear()
    monkeypatch.setattr(references, "label_probe", lambda domain, attribute: None)
    prepare(tiny_config, tmp_path)
    computed.cache_clear()

    look_up = kept_references(load_domain("avatars"), domain_summary("avatars"), tmp_path)

    assert len(look_up(references.probe_of(ATTRIBUTES["smiling"]))["weights"]) == 0
    assert reference_tasks(tiny_config, tmp_path) == []
