"""What a trial costs beyond its own work: our runner against bare Ray Tune, in one run on one cluster.

    python benchmarks/orchestration_overhead.py                # 200 trials each, two at a time
    python benchmarks/orchestration_overhead.py --trials 1000

Both sides run trials that do nothing, one step each, as class trainables with reuse_actors=True. Bare Tune
is a plain script, as anyone would write it, once as it comes and once with its loggers switched off. Ours is
the whole launch: plan, lock, a checkpoint and three ledger tables synced to disk and a committed record for
every trial. A trial's cost is the time from the first finished trial to the last, over the trials between,
so that starting processes and importing torch is left out; the whole launches are printed beside it.
"""

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPACE = """
question: What does a trial cost that does nothing?
baseline: {{domain: avatars, attribute: smiling, editor: {{kind: conv}}, training: {{epochs: 1}}}}
seeds: {seeds}
primary: {{metric: loss_total, margin: 1.0}}
"""


@dataclass
class NoopResult:
    """What a trial that does nothing leaves."""

    curves: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, float] = field(default_factory=lambda: {"loss_total": 0.0})
    num_parameters: int = 0
    notes: list[str] = field(default_factory=list)


class NoopTrial:
    """Stands in for `trainables.h_space.trial.Trial`."""

    def __init__(self, config: object, seed: int, *, cache_dir: Path, device: str = "cpu") -> None:
        self.epoch = 0

    @property
    def is_done(self) -> bool:
        """After one epoch."""
        return self.epoch == 1

    def step(self) -> dict[str, float]:
        """Do nothing."""
        self.epoch += 1
        return {"epoch": 1.0, "loss_total": 0.0}

    def save_checkpoint(self, folder: Path) -> None:
        """Keep something, as every trial does."""
        (folder / "state").write_text(str(self.epoch))

    def checkpoint_rows(self, after: int) -> list[dict[str, Any]]:
        """It gathers none."""
        return []

    def load_checkpoint(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """Read it back."""
        self.epoch = int((folder / "state").read_text())

    def finish(self) -> NoopResult:
        """Measure nothing."""
        return NoopResult()

    def save_model(self, path: Path) -> None:
        """Keep an empty editor."""
        path.touch()


class Stopwatch:
    """When trials ended."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ends: list[float] = []

    def lap(self, *_: object, **__: object) -> None:
        """A trial ended."""
        self.ends.append(time.monotonic())

    @property
    def milliseconds_per_trial(self) -> float:
        """Between the first end and the last."""
        return 1000 * (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)

    @property
    def seconds(self) -> float:
        """From the call to the last end."""
        return self.ends[-1] - self.began


class TimedDisplay:
    """Shows nothing of a launch but when its trials end."""

    def __init__(self, watch: Stopwatch) -> None:
        self.ended = watch.lap

    @contextmanager
    def showing(self, progress: object) -> Iterator[None]:
        """Show nothing."""
        yield

    def refresh(self) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Print it: a benchmark has no notes when all is well."""
        print(message)


def bare_tune(num_trials: int, folder: Path) -> Stopwatch:
    """A plain Tune script."""
    from ray import tune

    class Noop(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.seed = new_config["seed"]
            return True

        def step(self) -> dict[str, Any]:
            return {"loss": 0.0, "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "state").write_text(str(self.seed))

        def load_checkpoint(self, checkpoint: Any) -> None:
            pass

    watch = Stopwatch()

    class Watching(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            watch.lap()

        def __getstate__(self) -> dict[str, Any]:
            return {}

    tune.Tuner(
        Noop,
        param_space={"seed": tune.grid_search(list(range(num_trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0, callbacks=[Watching()]),
    ).fit()
    return watch


def our_runner(num_trials: int, folder: Path, address: str) -> Stopwatch:
    """A launch of a study with one cell and many seeds."""
    from orchestrator.plan.loading import load_space
    from orchestrator.study.launch import open_study
    from orchestrator.study.runner import RunOptions, run_missing

    space = folder / "noop.yaml"
    space.write_text(SPACE.format(seeds=num_trials))
    study = open_study(load_space(space), folder / "results")
    this_file = Path(__file__).resolve()
    options = RunOptions(
        address=address, trial_class=f"{this_file.stem}:NoopTrial", extra_modules=(this_file,)
    )
    watch = Stopwatch()
    outcome = run_missing(study, options, TimedDisplay(watch))
    assert outcome.num_run == num_trials, (
        f"{outcome.num_run} of {num_trials} trials ran: {outcome.failed[:1]}"
    )
    return watch


def with_ray(address: str, run: Callable[[], Stopwatch]) -> Stopwatch:
    """Run as a driver of its own, as two launches would be."""
    import logging

    import ray

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        return run()
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200, help="trials of each side (default 200)")
    parser.add_argument("--cpus", type=int, default=2, help="trials at a time (default 2)")
    options = parser.parse_args()

    import os

    importlib.import_module("orchestrator.execution.ray.backend")  # sets what Ray reads when it is imported
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": options.cpus, "include_dashboard": False}
    )
    found: dict[str, Stopwatch] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"
        found["bare Tune"] = with_ray(cluster.address, lambda: bare_tune(options.trials, folder / "bare"))
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        found["bare Tune, loggers off"] = with_ray(
            cluster.address, lambda: bare_tune(options.trials, folder / "quiet")
        )
        found["asyrp-sweep"] = our_runner(options.trials, folder, cluster.address)
    cluster.shutdown()
    report(found, options.trials, options.cpus)


def report(found: dict[str, Stopwatch], num_trials: int, num_cpus: int) -> None:
    """Print the table and the ratios."""
    print(f"{num_trials} trials that do nothing, {num_cpus} at a time")
    print(f"{'':24}{'ms per trial':>14}{'whole launch, s':>18}")
    for name, watch in found.items():
        print(f"{name:24}{watch.milliseconds_per_trial:14.1f}{watch.seconds:18.1f}")
    ours = found["asyrp-sweep"].milliseconds_per_trial
    for name in ("bare Tune", "bare Tune, loggers off"):
        print(f"asyrp-sweep / {name}: {ours / found[name].milliseconds_per_trial:.2f}")


if __name__ == "__main__":
    main()
