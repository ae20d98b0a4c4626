"""Whether a launch stays as fast and as small as it began, and how fast a large ledger is read.

    python benchmarks/scale.py                                      # 5,000 trials; 10 million curve rows
    python benchmarks/scale.py --trials 500 --rows 1000000          # a quick look
    python benchmarks/scale.py --only trials                        # or plan, or ledger

Trials do nothing and run in this process, so that what is measured is the driver: plan, queue, checkpoint, rows,
record, progress, and the compaction behind it. Flat means that the last tenth takes no longer a trial than the first
and that memory does not grow with the trials; on a machine that is busy with other work, seconds of CPU tell more than
those of the clock. The ledger is written with a part per trial, read, compacted as a launch would, and read again.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from orchestration_overhead import SPACE

from orchestrator.ledger import TABLES, Ledger, LedgerLock
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.index import PartKey
from orchestrator.plan.loading import load_space
from orchestrator.study.launch import open_study
from orchestrator.study.runner import RunOptions, run_missing

PLAN_TRIALS = 10_000
ROWS_PER_PART = 2_000
NUM_TIMESTEPS = 12


class Quiet:
    """A display that shows nothing."""

    @contextmanager
    def showing(self, progress: object) -> Iterator[None]:
        """Show nothing."""
        yield

    def refresh(self) -> None:
        """Show nothing."""

    def ended(self, line: str) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""


class Watch(Quiet):
    """Shows nothing, and notes the moment and the memory at every trial's end."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.cpu: list[float] = []
        self.memory: list[int] = []

    def ended(self, line: str) -> None:
        """Note this end."""
        self.moments.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.memory.append(_resident_bytes())


def measure_plan(folder: Path) -> None:
    """Seconds to plan many trials."""
    began = time.perf_counter()
    study = open_study(load_space(_space(folder, PLAN_TRIALS)), folder / "plan")
    print(f"plan      {len(study.plan.trials):,} trials planned in {time.perf_counter() - began:.1f} s")


def measure_trials(folder: Path, num_trials: int) -> None:
    """The last tenth of a launch against its first: seconds a trial, and memory."""
    watch = Watch()
    study = open_study(load_space(_space(folder, num_trials)), folder / "results")
    options = RunOptions(inline=True, trial_class="orchestration_overhead:NoopTrial")
    began = time.perf_counter()
    run_missing(study, options, watch)
    after_last = time.perf_counter() - watch.moments[-1]
    tenth = max(2, num_trials // 10)
    print(
        f"trials    {num_trials:,} in {watch.moments[-1] - began:.0f} s, {after_last:.1f} s of compaction after them"
    )
    for what, seconds in (("by the clock", watch.moments), ("of CPU", watch.cpu)):
        first = (seconds[tenth - 1] - seconds[0]) / (tenth - 1)
        last = (seconds[-1] - seconds[-tenth]) / (tenth - 1)
        print(
            f"          {first * 1e3:.2f} ms a trial {what} in the first tenth, {last * 1e3:.2f} ms in the last: "
            f"ratio {last / first:.2f}"
        )
    grown = watch.memory[-1] - watch.memory[tenth - 1]
    print(f"          memory grew by {grown / 1e6:.1f} MB to {watch.memory[-1] / 1e6:.0f} MB")


def measure_ledger(folder: Path, num_rows: int) -> None:
    """Seconds to read a large study before its compaction and after it, and those that it takes."""
    root = folder / "ledger"
    num_trials = max(1, num_rows // ROWS_PER_PART)
    curves = _curves()
    began = time.perf_counter()
    ledger = Ledger(root)
    for number in range(num_trials):
        _write_trial(ledger, f"{number:016x}", curves)
    print(f"ledger    {num_trials:,} trials of {ROWS_PER_PART:,} curve rows written in {_since(began)}")
    _read(root, "part by part")
    began, cpu = time.perf_counter(), time.process_time()
    with LedgerLock(root):
        compact(root)
    print(
        f"          compacted in {_since(began)}, {time.process_time() - cpu:.0f} s of CPU, to {_size(root)}"
    )
    _read(root, "compacted")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"          peak memory {peak / 1e9:.2f} GB")


def _read(root: Path, how: str) -> None:
    print(f"          {how}: {_size(root)}")
    for what in ("records", "curves"):
        reader = Ledger(root)
        began, cpu = time.perf_counter(), time.process_time()
        found = len(reader.records()) if what == "records" else len(reader.table("curves"))
        print(
            f"          {how}: {found:,} {what} read in {_since(began)}, {time.process_time() - cpu:.1f} s of CPU"
        )


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.1f} s"


def _size(root: Path) -> str:
    files = [path for path in root.rglob("*.parquet") if path.is_file()]
    return f"{len(files):,} files of {sum(path.stat().st_size for path in files) / 1e6:,.0f} MB"


def _curves() -> pa.Table:
    """Many curve rows, without the trial that they belong to."""
    losses = np.linspace(2.0, 1.0, ROWS_PER_PART)
    number = np.arange(ROWS_PER_PART)
    per_timestep = np.random.default_rng(0).normal(1.0, 0.1, (ROWS_PER_PART, NUM_TIMESTEPS))
    columns: dict[str, Any] = {
        "epoch": (number // 500 + 1).astype(np.int32),
        "batch": (number % 500).astype(np.int32),
        "optimizer_step": number,
        "image_steps": number * 8,
        "learning_rate": losses,
        "timesteps": [list(range(NUM_TIMESTEPS))] * ROWS_PER_PART,
        "loss_direction_per_t": per_timestep.tolist(),
        **dict.fromkeys(("loss_total", "loss_direction", "loss_recon"), losses + per_timestep[:, 0]),
    }
    schema = TABLES["curves"]
    return pa.table({name: pa.array(column, schema.field(name).type) for name, column in columns.items()})


def _write_trial(ledger: Ledger, signature: str, curves: pa.Table) -> None:
    """A done trial, through the ledger's own parts; its rows as Python objects would take hours."""
    ledger.write_rows(signature, 1, curves=[], evaluations=[], samples=[])
    schema = TABLES["curves"]
    identity = {
        "signature": pa.array([signature] * len(curves)),
        "attempt": pa.array([1] * len(curves), pa.int32()),
    }
    for name, column in identity.items():
        curves = curves.append_column(schema.field(name), column)
    ledger._parts.write("curves", PartKey(signature, 1), curves.select(schema.names))
    ledger.commit({"signature": signature, "attempt": 1, "cell": "baseline", "seed": 0, "status": "done"})


def _space(folder: Path, num_trials: int) -> Path:
    path = folder / f"noop{num_trials}.yaml"
    path.write_text(SPACE.format(seeds=num_trials))
    return path


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=5_000, metavar="N")
    parser.add_argument("--rows", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--only", choices=("plan", "trials", "ledger"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.only in (None, "plan"):
            measure_plan(folder)
        if options.only in (None, "trials"):
            measure_trials(folder, options.trials)
        if options.only in (None, "ledger"):
            measure_ledger(folder, options.rows)


if __name__ == "__main__":
    main()
