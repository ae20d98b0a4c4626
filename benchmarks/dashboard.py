"""How fast a dashboard of many studies answers, and whether it stays flat in memory while they grow.

    python benchmarks/dashboard.py [--studies 100] [--trials 200] [--updates 300] [--commits 3600]

Writes the studies (copies of one, with a name of their own), starts `asyrp-sweep dashboard` on them, and asks for pages
while trials go on to end in some of them. Last, an hour of a busy folder in minutes: as many commits as one a second
gives, over all studies, while a page is open. Times are medians and maxima in milliseconds; memory is the resident set.
"""

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from orchestrator.ledger import Ledger, write_study

CELLS = 20
EPOCHS = 10
METRIC = "accuracy"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--commits", type=int, default=3600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        write_studies(results, options.studies, options.trials)
        with_server(results, options)


def write_studies(results: Path, num_studies: int, num_trials: int) -> None:
    """One study, and copies of it: only its names differ."""
    first = results / "study-000"
    document = study_document(first.name, num_trials)
    write_study(first, document)
    ledger = Ledger(first / "ledger")
    for number in range(num_trials):
        write_trial(ledger, document, number)
    for number in range(1, num_studies):
        copy = results / f"study-{number:03d}"
        shutil.copytree(first, copy)
        write_study(copy, {**document, "name": copy.name})


def study_document(name: str, num_trials: int) -> dict[str, Any]:
    """A one-factor study whose last ten seeds of every cell are still to run."""
    seeds = range(num_trials // CELLS + 10)
    cells = [
        {
            "cell": "baseline" if index == 0 else f"width={index}",
            "axis_values": {"width": index},
            "is_baseline": index == 0,
            "trials": [{"seed": seed, "signature": f"{index:04d}{seed:012d}"} for seed in seeds],
        }
        for index in range(CELLS)
    ]
    metric = {"label": METRIC, "unit": "", "higher_is_better": True, "description": "", "is_of_sets": False}
    return {
        "schema_version": 1,
        "name": name,
        "question": "Does the width matter?",
        "axes": {"width": list(range(CELLS))},
        "primary": {"metric": METRIC, "margin": 0.05, "alpha": 0.05},
        "plan_hash": "0",
        "space_file_text": "",
        "seeds": list(seeds),
        "family": "mine",
        "metrics": {METRIC: metric},
        "curve_columns": ["loss_total"],
        "cells": cells,
    }


def write_trial(ledger: Ledger, document: Mapping[str, Any], number: int) -> None:
    """The rows and the record of one trial."""
    cell = document["cells"][number % CELLS]
    trial = cell["trials"][number // CELLS]
    generator = np.random.default_rng(number)
    curves = [
        {"epoch": epoch + 1, "batch": 0, "optimizer_step": epoch + 1, "loss_total": 1 / (epoch + 1)}
        for epoch in range(EPOCHS)
    ]
    ledger.write_rows(trial["signature"], 1, curves=curves, evaluations=[], samples=[])
    now = datetime.now(UTC)
    ledger.commit(
        {
            "signature": trial["signature"],
            "attempt": 1,
            "cell": cell["cell"],
            "seed": trial["seed"],
            "status": "done",
            "axis_values": cell["axis_values"],
            "config": {"width": cell["axis_values"]["width"]},
            "started_at": now,
            "finished_at": now,
            "wall_seconds": 1.0,
            "device": "cpu",
            "provenance": {"host": "here"},
            "notes": [],
            f"metric_{METRIC}": 0.5 + 0.01 * cell["axis_values"]["width"] + generator.normal(0, 0.02),
        }
    )


def with_server(results: Path, options: argparse.Namespace) -> None:
    """Start the dashboard and measure it."""
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "dashboard",
        "--results",
        str(results),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2].strip().strip("/"))
            measure(results, options, port, psutil.Process(server.pid))
        finally:
            server.terminate()


def measure(results: Path, options: argparse.Namespace, port: int, server: psutil.Process) -> None:
    """Print how long it takes to read all, to answer, to notice, and what it holds."""
    began = time.monotonic()
    print(f"first answer while nothing has been read: {1000 * seconds_of(port, '/studies.json'):.0f} ms")
    while any(study["state"] == "reading" for study in asked(port, "/studies.json")["studies"]):
        time.sleep(0.5)
    print(
        f"all {options.studies} studies read after {time.monotonic() - began:.0f} s; {megabytes(server):.0f} MB"
    )
    pages = [f"/study/study-{number:03d}/data.json" for number in range(options.studies)]
    show("first look at a page that has not been prepared", [seconds_of(port, path) for path in pages[:2]])
    while not all(study["verdicts"] for study in asked(port, "/studies.json")["studies"]):
        time.sleep(0.5)
    print(f"all pages prepared after {time.monotonic() - began:.0f} s; {megabytes(server):.0f} MB")
    show("first look at a page that has been prepared", [seconds_of(port, path) for path in pages[2:]])
    for path in ("/", "/studies.json", "/study/study-000/now.json", "/study/study-000/data.json", "/metrics"):
        show(f"warm, {path}", [seconds_of(port, path) for _ in range(30)])
    while_it_grows(results, options, port, server)
    an_hour(results, options, port, server)


def an_hour(results: Path, options: argparse.Namespace, port: int, server: psutil.Process) -> None:
    """Commit without waiting for anybody, and look at a page and the list now and then."""
    document = study_document("study-000", options.trials)
    began, held, answers = time.monotonic(), [megabytes(server)], []
    first = options.trials + -(-options.updates // 3)  # behind those that are there
    for number in range(options.commits):
        study = results / f"study-{number % options.studies:03d}"
        write_trial(Ledger(study / "ledger"), document, first + number // options.studies)
        if number % 20 == 0:
            paths = ("/studies.json", "/metrics", "/study/study-000/now.json", "/study/study-000/data.json")
            answers += [seconds_of(port, path) for path in paths]
        if number % max(1, options.commits // 12) == 0:
            held.append(megabytes(server))
    show(f"answers during {options.commits} commits in {time.monotonic() - began:.0f} s", answers)
    print("memory, MB:", " ".join(f"{one:.0f}" for one in [*held, megabytes(server)]))


def while_it_grows(results: Path, options: argparse.Namespace, port: int, server: psutil.Process) -> None:
    """Let trials end, one after another, in studies of which one is looked at."""
    document = study_document("study-000", options.trials)
    notices, answers, held = [], [], [megabytes(server)]
    for number in range(options.updates):
        study = f"study-{number % 3:03d}"
        ledger = Ledger(results / study / "ledger")
        before = ended(port, study)
        began = time.monotonic()
        write_trial(ledger, document, options.trials + number // 3)
        while ended(port, study) == before:
            time.sleep(0.02)
        notices.append(time.monotonic() - began)
        answers += [seconds_of(port, path) for path in ("/studies.json", "/study/study-000/data.json")]
        if number % max(1, options.updates // 10) == 0:
            held.append(megabytes(server))
    show("a new part is noticed after", notices)
    show("answers meanwhile", answers)
    print("memory, MB:", " ".join(f"{one:.0f}" for one in [*held, megabytes(server)]))


def ended(port: int, study: str) -> int:
    """Trials of a study that have ended."""
    return int(asked(port, f"/study/{study}/now.json")["summary"]["num_ended"])


def show(what: str, times: list[float]) -> None:
    print(f"{what}: median {1000 * statistics.median(times):.0f} ms, most {1000 * max(times):.0f} ms")


def megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


def seconds_of(port: int, path: str) -> float:
    began = time.monotonic()
    fetch(port, path)
    return time.monotonic() - began


def asked(port: int, path: str) -> Any:
    return json.loads(fetch(port, path))


def fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, (path, answer.status, body[:200])
    return body


if __name__ == "__main__":
    main()
