"""What a trial that does nothing costs through `ablate`, and through mushin-py's sweep where that is installed.

    python benchmarks/ablate_overhead.py [--trials 60]

Both run the same function for five values and a number of seeds, in this process one after the other and without any
model. Ours keeps a record, a row of curves and a log for each trial, synced to disk; theirs a Hydra folder. Times are
wall seconds of the sweep over the number of trials, the first trial's imports left out by a sweep of one value before.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

VALUES = (1, 2, 3, 4, 5)


def nothing(width: int, seed: int) -> dict[str, float]:
    return {"score": width + 0.001 * seed}


def ours(values: tuple[int, ...], num_seeds: int) -> None:
    from asyrp_sweep import ablate

    ablate(
        nothing, baseline={"width": values[0]}, axes={"width": values}, seeds=num_seeds, metric="score",
        margin=0.1, name=f"nothing_{len(values)}", inline=True, quiet=True,
    )  # fmt: skip


def theirs(values: tuple[int, ...], num_seeds: int) -> None:
    import mushin

    mushin.sweep(nothing).run(
        width=mushin.multirun(list(values)), seed=mushin.multirun(list(range(num_seeds)))
    )


def seconds_a_trial(sweep: Callable[[tuple[int, ...], int], None], num_seeds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sweep(VALUES[:1], 1)
        began = time.perf_counter()
        sweep(VALUES, num_seeds)
        took = time.perf_counter() - began
        os.chdir(Path(folder).parent)
    return took / (len(VALUES) * num_seeds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    num_seeds = parser.parse_args().trials // len(VALUES)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # Hydra warns of itself at every step
    own = seconds_a_trial(ours, num_seeds)
    print(f"ablate: {1000 * own:.1f} ms a trial, {num_seeds * len(VALUES)} trials")
    try:
        other = seconds_a_trial(theirs, num_seeds)
    except ImportError as error:
        print(f"mushin-py is not there to compare with: {error}")
        return
    print(f"mushin-py: {1000 * other:.1f} ms a trial, {other / own:.1f} times ours")


if __name__ == "__main__":
    main()
