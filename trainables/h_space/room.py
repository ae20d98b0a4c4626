"""How much disk the preparation of trials takes, before it runs."""

from collections.abc import Iterable
from pathlib import Path

from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_summary
from trainables.h_space.timesteps import training_timesteps
from trainables.h_space.trajectories import merged, picture_tasks, preparation_tasks
from trainables.h_space.trajectory_files import PreparationTask

_BYTES_OF_A_PIXEL = 3 * 4
_OF_EVERY_IMAGE = 3
"""The original, x_T and the reconstruction, each as large as a picture."""
_BYTES_OF_AN_EMBEDDING = 4 * 1024
"""Of a wide CLIP; what is kept beside pictures is no larger."""


def preparation_bytes(configs: Iterable[CellConfig], cache_dir: Path) -> int:
    """Bytes that trials of these configurations lack in the trajectory cache, texts apart, which are small.

    While `t_edit: auto` is open every timestep counts: the most it can be.
    """
    known = [config if isinstance(config.training.t_edit, int) else _deepest(config) for config in configs]
    tasks = [task for config in known for task in preparation_tasks(config, cache_dir)]
    images = [task for task in merged(tasks) if isinstance(task, PreparationTask)]
    unedited = sum(
        task.num_pictures * _bytes(task.images.domain, 1) for task in picture_tasks(known, cache_dir)
    )
    return sum(len(task.image_ids) * _bytes(task.domain, _num_pictures(task)) for task in images) + unedited


def _deepest(config: CellConfig) -> CellConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"t_edit": 0})})


def _num_pictures(task: PreparationTask) -> int:
    """What an image's file holds of its size: in training also P_t at every trained timestep, and eps at the first."""
    if task.lowest_t is None:
        return _OF_EVERY_IMAGE
    return _OF_EVERY_IMAGE + 1 + len(training_timesteps(task.num_sample_steps, task.lowest_t))


def _bytes(domain: str, num_pictures: int) -> int:
    height, width = domain_summary(domain).image_size
    return num_pictures * height * width * _BYTES_OF_A_PIXEL + _BYTES_OF_AN_EMBEDDING
