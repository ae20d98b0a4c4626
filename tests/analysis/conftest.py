"""Synthetic studies in a real ledger, with drawn faces as pictures."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
from PIL import Image, ImageDraw

from analysis.labels import use_words
from analysis.page.shape import StudyPage
from orchestrator.ledger import Ledger, write_study

STRENGTHS = (0.0, 0.5, 1.0)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class StudyRecipe:
    """What a synthetic study looks like. `effects` are true gains per cell, by cell name."""

    effects: dict[str, float] = field(
        default_factory=lambda: {"pixel_channel": 0.6, "conv": 0.4, "pixel": 0.58}
    )
    axis: str = "encoder"
    num_seeds: int = 7
    epochs: int = 3
    batches: int = 20
    num_images: int = 3
    noise: float = 0.02
    failed: set[tuple[str, int]] = field(default_factory=set)
    missing: set[tuple[str, int]] = field(default_factory=set)
    claims: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] | None = None
    notes: list[str] = field(default_factory=list)
    is_empty: bool = False
    skins: tuple[str, ...] = ("light", "dark", "light")
    """Label of each image, in turn."""
    subgroups: bool = False
    """Whether KID was measured, of all images and by skin."""
    pruned: set[tuple[str, int]] = field(default_factory=set)
    evaluation: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Evaluation settings of single cells, over the common ones."""
    training: dict[str, dict[str, Any]] = field(default_factory=dict)
    first_image: dict[str, int] = field(default_factory=dict)
    """Number of the first image that a cell is measured on."""
    strengths: tuple[float, ...] = STRENGTHS
    parents: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    """Warm-started trials and their parents."""

    @property
    def cells(self) -> list[str]:
        return list(self.effects)


def study_document(recipe: StudyRecipe) -> dict[str, Any]:
    """The study.json of a one-factor space whose first value is the baseline."""
    figures = recipe.figures
    if figures is None:
        figures = [
            {"kind": "curves", "by": recipe.axis, "y": ["loss_direction", "loss_total"]},
            {"kind": "image_grid", "rows": "epoch", "columns": recipe.axis},
            {"kind": "effects"},
            {"kind": "table"},
        ]
    return {
        "schema_version": 1,
        "name": "encoder",
        "question": "Which reading of the bottleneck feature map edits best?",
        "published": {"figure": "15"},
        "axes": {recipe.axis: recipe.cells},
        "design": "one_factor",
        "seeds": list(range(recipe.num_seeds)),
        "primary": {"metric": "counterfactual_gain", "margin": 0.05, "alpha": 0.05},
        "claims": recipe.claims,
        "figures": figures,
        "plan_hash": "0123456789abcdef",
        "space_file_text": "question: ...\n",
        "settings": {},
        "cells": [
            {
                "cell": "baseline" if index == 0 else f"{recipe.axis}={value}",
                "axis_values": {recipe.axis: value},
                "is_baseline": index == 0,
                "merged": [],
                "trials": [
                    {"seed": seed, "signature": signature(value, seed)} for seed in range(recipe.num_seeds)
                ],
            }
            for index, value in enumerate(recipe.cells)
        ],
    }


def signature(value: str, seed: int) -> str:
    """A readable stand-in for a trial's hash."""
    return f"{value}{seed:02d}".replace("_", "").ljust(16, "0")


def write_synthetic_study(folder: Path, recipe: StudyRecipe) -> Path:
    """Write study.json and, unless it is to be empty, a ledger with every trial of the recipe."""
    write_study(folder, study_document(recipe))
    if recipe.is_empty:
        return folder
    ledger = Ledger(folder / "ledger")
    # Nothing here has to outlive a power cut, and waiting for the disk is a third of the time.
    with mock.patch("orchestrator.ledger.durable.fsync"):
        for value in recipe.cells:
            for seed in range(recipe.num_seeds):
                if (value, seed) not in recipe.missing:
                    _write_trial(ledger, recipe, value, seed)
    return folder


def _write_trial(ledger: Ledger, recipe: StudyRecipe, value: str, seed: int) -> None:
    # Seed noise is shared by the cells, as in a real paired study.
    shared = np.random.default_rng(seed).normal(0, 0.05)
    own = np.random.default_rng([seed, recipe.cells.index(value)]).normal(0, recipe.noise)
    gain = recipe.effects[value] + shared + own
    name = signature(value, seed)
    has_failed = (value, seed) in recipe.failed
    if not has_failed:
        evaluations, samples = _evaluations(recipe, value, gain), _samples(recipe, gain)
        curves = _curves(recipe, gain, seed)
        ledger.write_rows(name, 1, curves=curves, evaluations=evaluations, samples=samples)
    ledger.commit(_record(recipe, value, seed, name, gain, has_failed))


def _record(
    recipe: StudyRecipe, value: str, seed: int, name: str, gain: float, has_failed: bool
) -> dict[str, Any]:
    metrics = {
        "metric_counterfactual_gain": gain,
        "metric_s_dir": gain / 3,
        "metric_l1_distance": 0.1 + gain / 10,
        "metric_recognition": min(1.0, gain),
    }
    config = {
        "domain": "avatars",
        "attribute": "smiling",
        "editor": {"kind": value},
        "training": {
            "num_images": 96,
            "batch_size": 8,
            "epochs": recipe.epochs,
            "num_train_steps": 12,
            "t_edit": 400,
            **recipe.training.get(value, {}),
        },
        "evaluation": {
            "num_images": 48,
            "num_sample_steps": 12,
            "primary_strength": 1.0,
            **recipe.evaluation.get(value, {}),
        },
    }
    is_pruned = (value, seed) in recipe.pruned
    return {
        "signature": name,
        "attempt": 1,
        "cell": "baseline" if value == recipe.cells[0] else f"{recipe.axis}={value}",
        "seed": seed,
        "parent": signature(*parent) if (parent := recipe.parents.get((value, seed))) else None,
        "status": "failed" if has_failed else "pruned" if is_pruned else "done",
        "reason": "loss became NaN in epoch 2, batch 3" if has_failed else "",
        "axis_values": {recipe.axis: value},
        "config": config,
        "started_at": START,
        "finished_at": START + timedelta(seconds=40 + seed),
        "wall_seconds": 40.0 + seed,
        "train_seconds": 33.0 + seed,
        "device": "cpu",
        "num_parameters": 120_000 + 1000 * recipe.cells.index(value),
        "provenance": {"git_commit": "abc1234", "torch": "2.14.1", "host": "node-1", "threads": 1},
        "notes": [] if has_failed else list(recipe.notes),
    } | ({} if has_failed else metrics)


def _curves(recipe: StudyRecipe, gain: float, seed: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    rows = []
    for step in range(recipe.epochs * recipe.batches):
        progress = (step + 1) / (recipe.epochs * recipe.batches)
        direction = 1 - gain * (1 - np.exp(-4 * progress)) + generator.normal(0, 0.04)
        rows.append(
            {
                "epoch": step // recipe.batches + 1,
                "batch": step % recipe.batches,
                "optimizer_step": 8 * (step + 1),
                "image_steps": 64 * (step + 1),
                "loss_total": 0.8 * direction + 0.4,
                "loss_direction": direction,
                "loss_recon": 0.13,
                "learning_rate": 1e-3 * (1 - progress),
                "timesteps": [900, 600],
                "loss_direction_per_t": [direction, direction],
            }
        )
    return rows


def _evaluations(recipe: StudyRecipe, value: str, gain: float) -> list[dict[str, Any]]:
    first = recipe.first_image.get(value, 0)
    return _set_rows(recipe, gain) * recipe.subgroups + [
        {"epoch": recipe.epochs, "image_id": f"face-{image + first}", "strength": strength, "num_sample_steps": 12,
         "counterfactual_gain": gain * strength, "l1_distance": 0.2 * gain * strength,
         "labels": json.dumps({"skin": recipe.skins[image % len(recipe.skins)]}),
         "attribute_shifts": json.dumps({"smiling": 0.1 * gain * strength, "sad": -0.04 * strength})}
        for image in range(recipe.num_images)
        for strength in recipe.strengths
    ]  # fmt: skip


def _set_rows(recipe: StudyRecipe, gain: float) -> list[dict[str, Any]]:
    """KID of 5 for all, of 1 - gain for light and twice that for dark skin, at strength 1."""
    skins = [recipe.skins[image % len(recipe.skins)] for image in range(recipe.num_images)]
    sets = [(None, len(skins), 5.0)]
    sets += [("skin=light", skins.count("light"), 1 - gain), ("skin=dark", skins.count("dark"), 2 - 2 * gain)]
    return [
        {"epoch": recipe.epochs, "image_id": None, "subgroup": subgroup, "strength": 1.0, "num_sample_steps": 12,
         "kernel_distance": value, "num_images": count, "feature_extractor": "CLIP of tests",
         "image_set": f"{count} images"}
        for subgroup, count, value in sets
    ]  # fmt: skip


def _samples(recipe: StudyRecipe, gain: float) -> list[dict[str, Any]]:
    rows = []
    for image in range(recipe.num_images):
        common = {"image_id": f"face-{image}", "num_sample_steps": 12}
        for kind, smile in (("original", 0.0), ("reconstruction", 0.03), ("counterfactual", 1.0)):
            rows.append(common | {"kind": kind, "image": {"bytes": face(image, smile), "path": None}})
        for epoch in range(1, recipe.epochs + 1):
            for strength in recipe.strengths if epoch == recipe.epochs else (1.0,):
                smile = gain * strength * epoch / recipe.epochs
                picture = {"bytes": face(image, smile), "path": None}
                rows.append(common | {"kind": "edit", "epoch": epoch, "strength": strength, "image": picture})
    return rows


@cache  # studies share most of their trials, and so most of their faces
def face(image: int, smile: float, size: int = 32) -> bytes:
    """PNG of a face whose mouth goes from flat (0) to a wide smile (1)."""
    large = Image.new("RGB", (256, 256), [(196, 222, 240), (240, 222, 196), (214, 240, 204)][image % 3])
    pen = ImageDraw.Draw(large)
    skin = [(240, 200, 160), (160, 110, 80), (250, 220, 200)][image % 3]
    pen.ellipse((48, 30, 208, 236), fill=skin)
    pen.pieslice((44, 16, 212, 150), 180, 360, fill=[(60, 40, 30), (20, 20, 20), (200, 150, 60)][image % 3])
    for x in (96, 160):
        pen.ellipse((x - 11, 110, x + 11, 132), fill="white")
        pen.ellipse((x - 6, 114, x + 6, 128), fill=(40, 40, 60))
    depth = max(3, int(60 * smile))
    pen.chord((92, 170 - depth // 2, 164, 170 + depth), 0, 180, fill=(150, 30, 40))
    buffer = io.BytesIO()
    large.resize((size, size), Image.Resampling.LANCZOS).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright, which runs one process at a time and none beside an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright (extra dev) is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium is installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(autouse=True)
def _metrics_of_editors() -> None:
    """What figures are checked against where a test loads no study."""
    use_words({}, "h_space")


@pytest.fixture(scope="session")
def synthetic() -> Callable[..., Path]:
    """Write a synthetic study into a folder: keyword arguments are fields of `StudyRecipe`."""
    return lambda folder, **settings: write_synthetic_study(folder, StudyRecipe(**settings))


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Build a synthetic study: keyword arguments are fields of `StudyRecipe`."""

    def build(**settings: Any) -> Path:
        folder = tmp_path / f"study-{len(list(tmp_path.iterdir()))}"
        return write_synthetic_study(folder, StudyRecipe(**settings))

    return build


@pytest.fixture(scope="session")
def page_data() -> Callable[[Path], StudyPage]:
    """Read what a report.html shows out of its file."""

    def read(page: Path) -> StudyPage:
        html = page.read_text(encoding="utf-8")
        (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
        return cast(StudyPage, json.loads(found))

    return read


@pytest.fixture
def edit_study_file() -> Callable[[Path, dict[str, Any]], None]:
    """Change top-level entries of a study.json."""

    def edit(folder: Path, changes: dict[str, Any]) -> None:
        path = folder / "study.json"
        content = json.loads(path.read_text()) | changes
        content.pop("plans", None)  # as if it had been planned like this at first
        path.write_text(json.dumps(content))

    return edit
