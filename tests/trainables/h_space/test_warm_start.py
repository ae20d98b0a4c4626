"""A trial whose editor starts from another one's weights."""

from pathlib import Path

import pytest
import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.editor_file import load_editor
from trainables.h_space.trial import Trial, TrialFailed


@pytest.fixture(scope="module")
def parent(tiny_config: CellConfig, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The editor of a trial of seed 7, as it was after its first of two epochs."""
    trial = Trial(tiny_config, 7, cache_dir=cache_dir)
    trial.step()
    path = tmp_path_factory.mktemp("editors") / "parent.safetensors"
    trial.save_model(path)
    return path


def test_it_starts_from_the_parent_s_weights_and_says_so(
    tiny_config: CellConfig, cache_dir: Path, parent: Path
) -> None:
    child = Trial(tiny_config, 0, cache_dir=cache_dir, start_from=parent)

    expected = load_editor(parent).editor.state_dict()
    found = child.editor.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert child.epoch == 0
    child.step()
    note = "started from the smiling editor of seed 7 after epoch 1 (parent.safetensors)"
    assert note in child.finish().notes


def test_it_resumes_to_the_bit(
    tiny_config: CellConfig, cache_dir: Path, parent: Path, tmp_path: Path
) -> None:
    whole, interrupted, resumed = (
        Trial(tiny_config, 0, cache_dir=cache_dir, start_from=parent) for _ in range(3)
    )

    whole.step()
    whole.step()
    interrupted.step()
    interrupted.save_checkpoint(tmp_path)
    resumed.load_checkpoint(tmp_path, interrupted.checkpoint_rows(0))
    resumed.step()

    expected = whole.editor.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.editor.state_dict().items())


def test_its_seed_still_decides_the_data_order(
    tiny_config: CellConfig, cache_dir: Path, parent: Path
) -> None:
    warm, cold = (Trial(tiny_config, 3, cache_dir=cache_dir, start_from=start) for start in (parent, None))

    assert warm._batches() == cold._batches()


def test_an_editor_with_other_settings_is_refused(
    tiny_config: CellConfig, cache_dir: Path, parent: Path
) -> None:
    changes = {"kind": "conv", "temporal": "multiply", "num_groups": 16}
    other = CellConfig.model_validate({**tiny_config.model_dump(), "editor": changes})

    with pytest.raises(
        TrialFailed,
        match=r"cannot start from parent\.safetensors: its editor has temporal add instead of multiply; "
        "num_groups 32 instead of 16",
    ):
        Trial(other, 0, cache_dir=cache_dir, start_from=parent)


def test_a_file_that_is_no_editor_is_refused(
    tiny_config: CellConfig, cache_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrialFailed, match=r"cannot start from .*absent\.safetensors"):
        Trial(tiny_config, 0, cache_dir=cache_dir, start_from=tmp_path / "absent.safetensors")
