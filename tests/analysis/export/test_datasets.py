"""An export as a dataset of Hugging Face, as the package datasets loads it."""

import json
import math
from pathlib import Path

import pytest
from export_studies import SMALL, Study, card

from analysis.export import export


def test_datasets_loads_every_table(make_study: Study, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)})
    export(folder, "hf", tmp_path / "out")

    found = {
        name: datasets.load_dataset(
            str(tmp_path / "out"), name, split="train", cache_dir=str(tmp_path / "cache")
        )
        for name in ("trials", "curves", "evaluations", "samples")
    }

    assert (
        datasets.load_dataset(
            str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
        ).num_rows
        == 6
    )
    assert sorted(found["trials"]["status"]) == ["done"] * 4 + ["failed", "missing"]
    assert set(found["curves"]["cell"]) == {"baseline", "encoder=conv"}
    assert found["curves"].num_rows == 4 * 8
    assert found["samples"][0]["image"].size == (32, 32)
    assert json.loads(found["trials"][0]["config"])["editor"] == {"kind": "pixel_channel"}
    assert "encoder=conv" in found["trials"]["cell"]


def test_datasets_loads_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    export(ugly_study, "hf", tmp_path / "out")

    trials, samples = (
        datasets.load_dataset(str(tmp_path / "out"), name, split="train", cache_dir=str(tmp_path / "cache"))
        for name in ("trials", "samples")
    )
    assert trials.num_rows == 12
    assert math.isnan(trials["metric_score"][1])
    assert [sample["file"] for sample in samples][:3] == [None, b"no picture", None]
    assert samples[0]["image"].size == (3, 2)
    assert "\x1b" not in card(tmp_path / "out")
