from pathlib import Path

import pytest

from trainables.h_space.config import CellConfig
from trainables.h_space.family import FAMILY

TINY = {
    "domain": "avatars",
    "attribute": "smiling",
    "editor": {"kind": "conv"},
    "images": "fixed",
    "training": {
        "num_images": 6,
        "batch_size": 3,
        "epochs": 2,
        "num_train_steps": 6,
        "t_edit": 500,
        "optimizer": {"learning_rate": 5e-3},
    },
    "evaluation": {"num_images": 4, "strengths": [0.0, 1.0], "num_sample_steps": 6, "num_preview_images": 2},
}


@pytest.fixture(scope="session")
def tiny_config() -> CellConfig:
    return CellConfig.model_validate(TINY)


@pytest.fixture(scope="session")
def cache_dir(tiny_config: CellConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    for stage in FAMILY.preparation([tiny_config], folder):
        for task in stage:
            FAMILY.run_preparation(task, folder, "cpu")
    return folder
