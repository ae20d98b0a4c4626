"""A study whose names, values, numbers, trials and samples are hard to export."""

import math
from pathlib import Path

import pytest
from export_studies import UGLY
from PIL import Image

from orchestrator.ledger import Ledger, write_study


@pytest.fixture
def ugly_study(tmp_path: Path) -> Path:
    """Names that no file can have, values of every type, numbers that are none, trials of every fate, odd samples."""
    values = [None, True, 3, 0.5, "x", "\u202e$^{}|`"]
    cells = [*UGLY, "left out"]
    document = {
        "schema_version": 1,
        "name": "ugly / study",
        "question": "---\nIs it | `safe`?",
        "axes": {"any/axis\n": values, "rate": [1, 0.5]},
        "primary": {"metric": "score", "margin": 0.1, "alpha": 0.05},
        "plan_hash": "0123",
        "space_file_text": "",
        "family": "mine",
        "metrics": {
            "score": {
                "label": "Score | *",
                "unit": "%",
                "higher_is_better": True,
                "description": "",
                "is_of_sets": False,
            }
        },
        "curve_columns": [],
        "cells": [
            {
                "cell": cell,
                "axis_values": {"any/axis\n": value},
                "is_baseline": index == 0,
                "trials": [{"seed": seed, "signature": f"{index}{seed}"} for seed in (0, 1)],
            }
            for index, (cell, value) in enumerate(zip(cells, values, strict=True))
        ],
    }
    folder = tmp_path / "ugly"
    write_study(folder, document)
    ledger = Ledger(folder / "ledger")
    picture = Path(tmp_path / "picture.tiff")
    Image.new("RGB", (3, 2)).save(picture)
    samples = [
        {"kind": "image/tiff", "image_id": "a/b\nc", "image": {"bytes": picture.read_bytes(), "path": None}},
        {"kind": "text/plain", "image_id": "note", "image": {"bytes": b"no picture", "path": None}},
        {"kind": "empty", "image_id": "nothing", "image": None},
    ]
    curves = [
        {"epoch": 1, "lo/ss\n": math.nan},
        {"epoch": 1, "lo/ss\n": 2.0},
        {"epoch": 2, "other": math.inf},
    ]
    fates = ("done", "failed", "skipped", "pruned", "interrupted")
    for index, status in enumerate(fates):
        for seed in (0, 1):
            signature, is_done = f"{index}{seed}", status == "done"
            if is_done:
                ledger.write_rows(signature, 1, curves=curves, evaluations=[], samples=samples)
            ledger.commit(
                {
                    "signature": signature, "attempt": 1, "cell": cells[index], "seed": seed, "status": status,
                    "reason": "\x1b[31mwhy\n---", "axis_values": {"any/axis\n": values[index]},
                    "config": {"a": {"b/c": [1, None]}, "seed": 7}, "notes": ["| note"],
                    **({"metric_score": math.nan if seed else 1.0} if is_done else {}),
                }
            )  # fmt: skip
    return folder
