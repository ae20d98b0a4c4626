"""How far the price of a pilot is from what a trial then takes: the model error that `plan` states.

    python benchmarks/pilot_price.py [editor kind ...]

For every kind, one trial of `search_spaces/encoder.yaml` at half its size: its pilot, its trajectory cache, and the
trial itself twice, of which the second finds the models loaded as most trials of a launch do. Prints what was taken
over what the pilot had said: for the cache, for training, for everything else, for the trial as a whole. In seconds of
CPU time on one thread, so that what else the machine does counts little.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from orchestrator.plan.build import build_plan
from orchestrator.plan.loading import load_space
from trainables.h_space.config import CellConfig
from trainables.h_space.family import FAMILY
from trainables.h_space.pilot import evaluation_rate, pilot, train_rate
from trainables.h_space.timesteps import PUBLISHED_T_MAX
from trainables.h_space.trajectories import preparation_work
from trainables.h_space.trial import Trial
from trainables.h_space.workload import image_steps, sample_steps

SETTINGS = ("training.num_images=12", "training.epochs=2", "evaluation.num_images=8")


def seconds(work: Callable[[], object]) -> float:
    """CPU time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def trained(config: CellConfig, cache_dir: Path) -> tuple[float, float]:
    """Seconds that a trial trains, and of everything else."""
    began = time.process_time()
    trial = Trial(config, 0, cache_dir=cache_dir)
    train = sum(seconds(trial.step) for _ in range(config.training.epochs))
    trial.finish()
    return train, time.process_time() - began - train


def compared(config: CellConfig, cache_dir: Path) -> dict[str, float]:
    """Taken over said, by part of a trial."""
    found = pilot(config, clock=time.process_time)
    train = median(train_rate(config, one, PUBLISHED_T_MAX) for one in found.rounds)
    other = median(evaluation_rate(config, one, PUBLISHED_T_MAX) for one in found.rounds)
    work = preparation_work([config], cache_dir)
    preparing = median(
        one.unedited * work.passes
        + one.image * work.images
        + one.prompt * (work.texts * found.num_templates + work.prompts)
        + one.picture * work.pictures
        + one.plain * work.steps
        for one in found.rounds
    )
    ratios: dict[str, float] = {}

    def prepare() -> None:
        for stage in FAMILY.preparation([config], cache_dir):
            for task in stage:
                FAMILY.run_preparation(task, cache_dir, "cpu")

    took = seconds(prepare)
    if work:
        ratios["cache"] = took / preparing
    for name in ("first", ""):
        took_train, took_other = trained(config, cache_dir)
        said_train, said_other = train * image_steps(config, PUBLISHED_T_MAX), other * sample_steps(config)
        ratios[f"{name} train".strip()] = took_train / said_train
        ratios[f"{name} other".strip()] = took_other / said_other
        ratios[f"{name} trial".strip()] = (took_train + took_other) / (said_train + said_other)
    return ratios


def main() -> None:
    """Compare every kind asked for, or all of the space."""
    torch.set_num_threads(1)  # as a trial has by default
    plan = build_plan(load_space("encoder", settings=list(SETTINGS)))
    configs = {cell.config.editor.kind: cell.config for cell in plan.cells}
    for kind in sys.argv[1:] or configs:
        with tempfile.TemporaryDirectory() as folder:
            ratios = compared(configs[kind], Path(folder))
        print(f"{kind:15}", "  ".join(f"{part} {ratio:.2f}" for part, ratio in ratios.items()), flush=True)


if __name__ == "__main__":
    main()
