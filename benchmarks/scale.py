"""Whether a launch stays as fast and as small as it began, and how fast a large ledger is read.

    python benchmarks/scale.py                                      # 5,000 trials; 10 million curve rows
    python benchmarks/scale.py --trials 500 --rows 1000000          # a quick look

Trials do nothing and run in this process, so that what is measured is the driver: plan, queue, checkpoint, rows,
record, progress. Flat means that the last tenth takes no longer a trial than the first and that memory does not
grow with the trials. The ledger has a part per trial, as a study leaves it.
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

from orchestrator.launch import open_study
from orchestrator.ledger import TABLES, Ledger
from orchestrator.ledger.parts import PartKey
from orchestrator.loading import load_space
from orchestrator.runner import RunOptions, run_missing

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
        self.memory: list[int] = []

    def ended(self, line: str) -> None:
        """Note this end."""
        self.moments.append(time.perf_counter())
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
    run_missing(study, options, watch)
    moments, memory = watch.moments, watch.memory
    tenth = max(2, num_trials // 10)
    first = (moments[tenth - 1] - moments[0]) / (tenth - 1)
    last = (moments[-1] - moments[-tenth]) / (tenth - 1)
    grown = memory[-1] - memory[tenth - 1]
    print(
        f"trials    {num_trials:,}: {first * 1e3:.2f} ms each in the first tenth, {last * 1e3:.2f} ms in the last"
    )
    print(
        f"          ratio {last / first:.2f}; memory grew by {grown / 1e6:.1f} MB to {memory[-1] / 1e6:.0f} MB"
    )


def measure_ledger(folder: Path, num_rows: int) -> None:
    """Seconds to read the curves of a large study, record by record and row by row."""
    ledger = Ledger(folder / "ledger")
    num_parts = max(1, num_rows // ROWS_PER_PART)
    began = time.perf_counter()
    for number in range(num_parts):
        _write_trial(ledger, f"{number:016x}")
    print(f"ledger    {num_parts:,} trials written in {time.perf_counter() - began:.1f} s")
    for what in ("records", "curves"):
        reader = Ledger(folder / "ledger")
        began = time.perf_counter()
        found = len(reader.records()) if what == "records" else len(reader.table("curves"))
        seconds = time.perf_counter() - began
        print(f"          {found:,} {what} read in {seconds:.1f} s, {found / seconds:,.0f} a second")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"          peak memory {peak / 1e9:.2f} GB")


def _write_trial(ledger: Ledger, signature: str) -> None:
    """A done trial with many curve rows, through the ledger's own parts; rows as Python objects would take hours."""
    losses = np.linspace(2.0, 1.0, ROWS_PER_PART)
    number = np.arange(ROWS_PER_PART)
    columns: dict[str, Any] = {
        "signature": [signature] * ROWS_PER_PART,
        "attempt": np.ones(ROWS_PER_PART, dtype=np.int32),
        "epoch": (number // 500 + 1).astype(np.int32),
        "batch": (number % 500).astype(np.int32),
        "optimizer_step": number,
        "image_steps": number * 8,
        "learning_rate": losses,
        "timesteps": [list(range(NUM_TIMESTEPS))] * ROWS_PER_PART,
        "loss_direction_per_t": [losses[:NUM_TIMESTEPS].tolist()] * ROWS_PER_PART,
        **dict.fromkeys(("loss_total", "loss_direction", "loss_recon"), losses),
    }
    ledger.write_rows(signature, 1, curves=[], evaluations=[], samples=[])
    schema = TABLES["curves"]
    table = pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names})
    ledger._parts.write("curves", PartKey(signature, 1), table)
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measure_plan(folder)
        measure_trials(folder, options.trials)
        measure_ledger(folder, options.rows)


if __name__ == "__main__":
    main()
