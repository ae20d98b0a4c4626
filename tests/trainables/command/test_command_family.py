"""Commands as a family: what planning, identity and prices ask of it."""

import sys
from pathlib import Path
from typing import Any

import pytest

from trainables.command.config import CommandConfig
from trainables.command.family import FAMILY
from trainables.errors import UserError
from trainables.exchange import Asked

SCRIPT = """
import json, sys, time
for epoch in range(1, 4):
    print(json.dumps({"epoch": epoch}), file=open(sys.argv[1] + "/curve.jsonl", "a"))
json.dump({"accuracy": 1}, open(sys.argv[1] + "/metrics.json", "w"))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


def config(base: Path, **given: Any) -> CommandConfig:
    content = {
        "command": [sys.executable, "-S", "train.py", "{folder}", "{seed}", "{epochs}"],
        "settings": {"epochs": 3},
        "metrics": {"accuracy": "higher is better"},
        "base_folder": str(base),
    }
    return CommandConfig.model_validate({**content, **given})


def found(config: CommandConfig) -> list[tuple[Any, str]]:
    return [*FAMILY.findings(config.model_dump(), config, Asked())]


def test_metrics_are_those_that_the_space_declares() -> None:
    metrics = {
        "accuracy": "higher is better",
        "loss": {"better": "lower is better", "label": "Test loss", "unit": "nats"},
        "wrong": 3,
    }

    declared = FAMILY.metrics_of({"metrics": metrics})

    assert [*declared] == ["accuracy", "loss", "wrong"]  # what names it elsewhere makes no second mistake
    assert declared["accuracy"].higher_is_better
    assert (declared["loss"].label, declared["loss"].unit) == ("Test loss", "nats")
    assert not declared["loss"].higher_is_better


def test_nested_names_of_metrics_are_those_of_their_columns(base: Path) -> None:
    metrics = {"test/acc": "higher is better", "eval.loss": {"better": "lower is better"}}
    content = {
        "baseline": {"metrics": metrics},
        "primary": {"metric": "test/acc"},
        "claims": [{"text": "up", "metric": "eval.loss"}],
        "figures": [{"kind": "table", "metrics": ["test/acc"]}],
    }

    found, _ = FAMILY.renamed(content, (), base)

    declared = FAMILY.metrics_of(found["baseline"])
    assert {name: metric.label for name, metric in declared.items()} == {
        "test_acc": "test/acc",
        "eval_loss": "eval.loss",
    }
    assert found["primary"]["metric"] == found["figures"][0]["metrics"][0] == "test_acc"
    assert found["claims"][0]["metric"] == "eval_loss"
    assert FAMILY.renamed({"baseline": {"metrics": {**metrics, "test_acc": "higher is better"}}}, (), base)[
        0
    ] == {"baseline": {"metrics": {**metrics, "test_acc": "higher is better"}}}


@pytest.mark.parametrize(
    ("path", "is_there"),
    [
        ("settings.learning_rate", True),
        ("environment.MODE", True),
        ("keep.model", True),
        ("time_limit_seconds", True),
        ("settings.learning-rate", False),
        ("setings.width", False),
        ("settings", True),
    ],
)
def test_settings_may_have_any_name(path: str, is_there: bool) -> None:
    assert FAMILY.has_setting(path) is is_there


def test_paths_start_from_the_space_s_folder(tmp_path: Path) -> None:
    assert FAMILY.absolute({}, tmp_path) == {"base_folder": str(tmp_path)}
    assert FAMILY.absolute({"base_folder": "code"}, tmp_path)["base_folder"] == str(tmp_path / "code")
    start = FAMILY.absolute({"init": {"from": {"file": "model.pt"}}}, tmp_path)["init"]
    assert start == {"from": {"file": str(tmp_path / "model.pt")}}


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ({"command": "pyhton train.py {seed} {epochs}"}, "command", "the program pyhton cannot be found"),
        ({"command": "./train.py {seed} {epochs}"}, "command", "or is not executable"),
        ({"working_folder": "{here}/absent"}, "working_folder", "absent is no folder"),
        ({"base_folder": "/absent"}, "base_folder", "/absent is no folder"),
        ({"sources": ["src/*.py"]}, "sources", "matches src/*.py"),
        ({"command": "{python} train.py {epoch} {seed}"}, "command", "did you mean epochs?"),
    ],
)
def test_what_is_not_there_is_told_before_anything_runs(
    base: Path, given: dict[str, Any], place: str, told: str
) -> None:
    (where, message), *_ = found(config(base, **given))

    assert where == (place,)
    assert told in message


def test_a_sound_command_is_fine(base: Path) -> None:
    assert found(config(base)) == []
    assert (
        found(config(base, working_folder="{folder}", command="{python} {here}/train.py {seed} {epochs}"))
        == []
    )


def test_identity_is_of_settings_and_script_and_not_of_places_and_limits(base: Path, tmp_path: Path) -> None:
    before = FAMILY.identity(config(base))

    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "train.py").write_text(SCRIPT)
    assert FAMILY.identity(config(moved, time_limit_seconds=9.0, grace_seconds=1.0)) == before
    assert FAMILY.identity(config(base, keep={"max_model_megabytes": 9.0})) == before
    assert FAMILY.identity(config(base, settings={"epochs": 4})) != before
    (base / "train.py").write_text("raise SystemExit")
    assert FAMILY.identity(config(base)) != before


@pytest.mark.parametrize(
    ("metric", "is_same"),
    [
        ({"better": "higher is better", "label": "Accuracy"}, True),
        ({"better": "higher is better", "unit": "%"}, True),
        ("lower is better", True),
        ({"better": "higher is better", "key": "acc"}, False),
        ({"better": "higher is better", "take": "mean"}, False),
        ({"better": "higher is better", "take": "best"}, False),
    ],
)
def test_how_a_metric_is_told_and_judged_runs_no_trial_again(
    base: Path, metric: object, is_same: bool
) -> None:
    before = FAMILY.identity(config(base, metrics={"accuracy": "higher is better"}))

    assert (FAMILY.identity(config(base, metrics={"accuracy": metric})) == before) is is_same


def test_which_way_is_better_counts_where_the_best_value_is_taken(base: Path) -> None:
    rising, falling = (
        FAMILY.identity(config(base, metrics={"accuracy": {"better": f"{way} is better", "take": "best"}}))
        for way in ("higher", "lower")
    )

    assert rising != falling


def test_cells_of_one_command_are_priced_alike(base: Path) -> None:
    assert FAMILY.kind(config(base)) == FAMILY.kind(config(base, settings={"epochs": 9}))
    assert FAMILY.kind(config(base)) != FAMILY.kind(config(base, command="other {seed} {epochs}"))
    named = {
        "/opt/env/bin/python -m spacy train {seed}": "python -m spacy",
        "{python} /home/me/digits.py {seed}": "{python} /home/me/digits.py",
        "train": "train",
    }
    for command, expected in named.items():
        assert FAMILY.kind(config(base, command=command))[-1] == expected
    assert FAMILY.num_epochs(config(base)) == 3
    assert FAMILY.num_epochs(config(base, settings={})) == 1


def test_a_pilot_times_the_first_epochs(base: Path) -> None:
    pilot = FAMILY.pilot(config(base), "cpu", 1)

    assert pilot["train"] > 0
    assert pilot["other"] >= 0
    with pytest.raises(UserError, match="without a setting epochs"):
        FAMILY.pilot(config(base, settings={}), "cpu", 1)


def test_rows_per_item_have_columns_only_where_there_are_some(base: Path) -> None:
    assert FAMILY.measured_columns([config(base)]) == ((), ("accuracy",))
    assert FAMILY.measured_columns([config(base, items_file="i.csv")]) == (("accuracy",), ("accuracy",))


def test_a_warm_start_needs_a_parent_that_keeps_its_model(base: Path) -> None:
    child = config(base, init={"from": {"cell": "baseline"}})

    start = FAMILY.start(child)

    assert start is not None
    assert (start.cell, start.file, start.control) == ("baseline", None, True)
    assert FAMILY.start(config(base)) is None
    assert "no keep.model" in FAMILY.unlike(child, config(base))
    assert FAMILY.unlike(child, config(base, keep={"model": "weights.pt"})) == ""
    assert found(child)[0][0] == ("init",)
