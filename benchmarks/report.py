"""Whether the page of a large study is written quickly, stays small, and can be used while it is read.

    python benchmarks/report.py                                 # 1,000 trials, 1,000,000 rows of curves
    python benchmarks/report.py --trials 100 --rows 100000      # a quick look

A study of three axes and ten seeds a cell is written through the ledger and compacted as a launch would. Then one
process reads and judges it and writes its whole report, figures included, and says its seconds and peak memory. Last, a
browser opens report.html from disk and tells when its first content was there, when all of it was, and how long a frame
takes while a range is dragged over an axis of the parallel coordinates. Without Chromium that last part is left out.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.ledger import TABLES, Ledger, LedgerLock, write_study
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.schemas import schema_with

CHROMIUM = "/usr/bin/chromium"
NUM_SEEDS, NUM_TIMESTEPS = 10, 12
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
SCHEDULES = ("constant", "cosine")
BUILD = """
import resource, sys, time
from pathlib import Path
began, cpu = time.perf_counter(), time.process_time()
from analysis.report import build_report
imported = time.perf_counter()
page = build_report(Path(sys.argv[1]))
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(f"report    written in {seconds:.1f} s, {cpu:.1f} s of CPU ({imported - began:.1f} s of imports)")
print(f"          peak memory {peak / 1e9:.2f} GB; report.html has {page.stat().st_size / 1e6:.2f} MB")
"""
FIGURES = [
    {"kind": "curves", "by": "rate", "y": ["loss_total"]},
    {"kind": "effects"},
    {"kind": "table"},
    {"kind": "parallel"},
]


def write_large_study(folder: Path, num_trials: int, num_rows: int) -> None:
    """A product of widths, rates and schedules with ten seeds a cell, one cell a baseline."""
    num_cells = max(2, num_trials // NUM_SEEDS)
    widths = [32 * (index + 1) for index in range(-(-num_cells // (len(RATES) * len(SCHEDULES))))]
    points = [
        {"width": width, "rate": rate, "schedule": schedule}
        for width, rate, schedule in product(widths, RATES, SCHEDULES)
    ][:num_cells]
    cells = [
        {
            "cell": "baseline" if not index else ",".join(f"{axis}={value}" for axis, value in point.items()),
            "axis_values": point,
            "is_baseline": not index,
            "trials": [
                {"seed": seed, "signature": f"{index * NUM_SEEDS + seed:016x}"} for seed in range(NUM_SEEDS)
            ],
        }
        for index, point in enumerate(points)
    ]
    metrics = {"accuracy": ("Accuracy", True), "calibration_error": ("Calibration error", False)}
    document = {
        "schema_version": 1,
        "name": "large",
        "question": "Which width, rate and schedule train best?",
        "axes": {"width": widths, "rate": list(RATES), "schedule": list(SCHEDULES)},
        "design": "product",
        "seeds": list(range(NUM_SEEDS)),
        "primary": {"metric": "accuracy", "margin": 0.01, "alpha": 0.05},
        "family": "benchmark",
        "metrics": {
            name: {"label": label, "unit": "", "higher_is_better": is_higher, "description": ""}
            for name, (label, is_higher) in metrics.items()
        },
        "figures": FIGURES,
        "plan_hash": "0" * 16,
        "space_file_text": "",
        "cells": cells,
    }
    write_study(folder, document)
    ledger = Ledger(folder / "ledger")
    rows_per_trial = max(1, num_rows // (num_cells * NUM_SEEDS))
    for cell in cells:
        for trial in cell["trials"]:
            _write_trial(ledger, cell, trial, rows_per_trial)
    with LedgerLock(folder / "ledger"):
        compact(folder / "ledger")


def _write_trial(ledger: Ledger, cell: dict[str, Any], trial: dict[str, Any], num_rows: int) -> None:
    """A done trial; its curves go in as arrays, for as Python objects they would take long."""
    generator = np.random.default_rng(int(trial["signature"], 16))
    quality = 0.7 + 0.05 * generator.normal() + 0.1 * np.log10(cell["axis_values"]["width"])
    ledger.write_rows(trial["signature"], 1, curves=[], evaluations=[], samples=[])
    curves = _curves(trial["signature"], num_rows, quality, generator)
    ledger._parts.write("curves", PartKey(trial["signature"], 1), curves)
    record = {
        **trial,
        "attempt": 1,
        "cell": cell["cell"],
        "status": "done",
        "reason": "",
        "axis_values": cell["axis_values"],
        "wall_seconds": 60.0,
        "device": "cpu",
        "config": {**cell["axis_values"], "epochs": 10, "batch_size": 32, "dropout": 0.1},
        "num_parameters": cell["axis_values"]["width"] ** 2,
        "metric_accuracy": quality,
        "metric_calibration_error": 0.1 * abs(generator.normal()),
    }
    ledger.commit(record)


def _curves(signature: str, num_rows: int, quality: float, generator: np.random.Generator) -> pa.Table:
    number = np.arange(num_rows)
    losses = 2 * np.exp(-4 * number / num_rows) + 1 - quality + 0.05 * generator.normal(size=num_rows)
    columns: dict[str, Any] = {
        "signature": [signature] * num_rows,
        "attempt": np.ones(num_rows, np.int32),
        "epoch": (10 * number // num_rows + 1).astype(np.int32),
        "batch": number.astype(np.int32),
        "optimizer_step": number + 1,
        "learning_rate": np.linspace(1e-3, 1e-5, num_rows),
        "timesteps": [list(range(NUM_TIMESTEPS))] * num_rows,
        "loss_direction_per_t": generator.normal(1, 0.1, (num_rows, NUM_TIMESTEPS))
        .astype(np.float32)
        .tolist(),
        **dict.fromkeys(("loss_direction", "loss_recon"), losses / 2),
        "loss_total": losses,
    }
    own = {"timesteps": pa.list_(pa.int32()), "loss_direction_per_t": pa.list_(pa.float32())}
    further = {name: own.get(name, pa.float64()) for name in columns.keys() - set(TABLES["curves"].names)}
    schema = schema_with("curves", further)
    return pa.table(
        [pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema
    )


def measure_page(page: Path) -> None:
    """Seconds to the first content and to all of it, and how long a frame takes while a range is dragged."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        opened.goto(page.as_uri())
        opened.locator("#provenance dd").first.wait_for()
        seconds = time.perf_counter() - began
        first = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        heap = opened.evaluate("performance.memory.usedJSHeapSize")
        print(
            f"page      first content after {first / 1e3:.2f} s, all after {seconds:.2f} s, heap {heap / 1e6:.0f} MB"
        )
        frames = _drag(opened)
        usual, slowest = sorted(frames)[len(frames) // 2], max(frames)
        selected = opened.locator("#parallel [role=status]").inner_text()
        print(f"          dragging a range: {usual:.0f} ms a frame, the slowest {slowest:.0f} ms; {selected}")
        browser.close()


def _drag(opened: Any) -> list[float]:
    """Milliseconds between frames while a range grows over the third axis of the parallel coordinates."""
    canvas = opened.locator("#parallel canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    num_axes = opened.locator("#parallel .axes input:checked").count()
    left = box["x"] + 2.5 * box["width"] / num_axes
    opened.mouse.move(left, box["y"] + 70)
    opened.mouse.down()
    opened.evaluate(FRAMES)
    for step in range(60):
        opened.mouse.move(left, box["y"] + 72 + 3 * step)
    times = opened.evaluate("window.framesSeen.splice(0)")
    opened.mouse.up()
    return [float(time) for time in times]


FRAMES = """() => {
  window.framesSeen = [];
  let before = performance.now();
  const next = (now) => { window.framesSeen.push(now - before); before = now; requestAnimationFrame(next); };
  requestAnimationFrame(next);
}"""
"""Notes how long every frame takes."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1_000, metavar="N")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "large"
        began = time.perf_counter()
        write_large_study(folder, options.trials, options.rows)
        print(
            f"study     {options.trials:,} trials, {options.rows:,} rows, in {time.perf_counter() - began:.0f} s"
        )
        subprocess.run([sys.executable, "-c", BUILD, str(folder)], check=True)
        if Path(CHROMIUM).is_file():
            measure_page(folder / "report" / "report.html")


if __name__ == "__main__":
    main()
