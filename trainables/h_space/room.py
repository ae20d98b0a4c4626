"""How much disk the preparation of trials takes, before it runs. Plans need it: nothing here imports torch."""

from collections.abc import Iterable
from math import prod
from pathlib import Path

from trainables.h_space.config import CellConfig
from trainables.h_space.domains import domain_image_ids, domain_summary
from trainables.h_space.domains.images import Split
from trainables.h_space.workload import trained_timesteps

_BYTES_OF_A_NUMBER = 4
_BYTES_OF_AN_EMBEDDING = 4 * 1024
"""Of a wide CLIP."""
_BYTES_OF_A_JUDGEMENT = 4 * 4500
"""Of what the judge of avatars sees in a picture."""


def preparation_bytes(configs: Iterable[CellConfig], cache_dir: Path) -> int:
    """Bytes that trials of these configurations add to the trajectory cache, texts apart, which are small.

    What the cache holds of a domain counts as part of it, also where it is of other settings: rather too little is
    told than too much. While `t_edit: auto` is open every timestep counts.
    Raises DomainError when a domain cannot be read.
    """
    needed: dict[Path, dict[tuple[object, ...], int]] = {}
    for config in configs:
        summary = domain_summary(config.domain)
        files = needed.setdefault(cache_dir / summary.cache_name, {})
        picture, x = 3 * prod(summary.image_size), prod(summary.x_shape)
        for file, (num_pictures, num_x) in _files(config, summary.t_max).items():
            numbers = num_pictures * picture + num_x * x
            is_judged = num_x == 0 and summary.judge is not None  # held-out pictures as they are looked at
            beside = _BYTES_OF_AN_EMBEDDING + is_judged * _BYTES_OF_A_JUDGEMENT
            num_bytes = numbers * _BYTES_OF_A_NUMBER + beside
            files[file] = max(num_bytes, files.get(file, 0))
    return sum(max(0, sum(files.values()) - _taken(folder)) for folder, files in needed.items())


def _files(config: CellConfig, t_max: int) -> dict[tuple[object, ...], tuple[int, int]]:
    """What is kept of each image, by what it depends on, in pictures and in what the diffusion model works on.

    The original, its reconstruction, and x_T. Of training images also P_t at every trained timestep, and eps at the
    first; held-out ones are looked at.
    """
    training, evaluation = config.training, config.evaluation
    sampled = {"train": training.num_train_steps, evaluation.split: evaluation.num_sample_steps}
    counts: dict[Split, int] = {"train": training.num_images, evaluation.split: evaluation.num_images}
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    for split in counts:
        steps = (training.num_train_steps, training.inversion_refinements, sampled[split])
        along = 1 + len(trained_timesteps(config, t_max)) if split == "train" else 0
        for image in domain_image_ids(
            config.domain, split, counts[split], config.edit, config.image_seed, held_out=evaluation.split
        ):
            found[(image, *steps)] = (2, 1 + along)
            if split != "train":
                seen = ("original", config.edit.name, *evaluation.all_sample_steps)
                found |= {(image, *steps, kind): (1, 0) for kind in seen}
    return found


def _taken(folder: Path) -> int:
    """Bytes of the files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
