"""A family in a user's file: found, checked, run, taken up, and its mistakes told in one message."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.frames import load_frames
from orchestrator.cli.parser import main
from orchestrator.ledger import Ledger
from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError
from orchestrator.study.launch import Study, open_study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing
from trainables.errors import UserError
from trainables.families import family_names, find_family

MODEL = """
from trainables.family import Family
from trainables.settings import Settings

class Config(Settings):
    width: int = 4
    rate: float = 0.5
    epochs: int = 3

def train(config, seed, report):
    for epoch in range(config.epochs):
        report(epoch=epoch + 1, loss=1.0 / (epoch + config.width))
    score = config.width + 0.01 * seed
    return {"score": score}, [{"item": name, "score": score} for name in ("a", "b")]

FAMILY = Family("mine", Config, train, metrics={"score": "higher is better"})
"""
SPACE = """
question: Does the width matter?
family: ./model.py
baseline: {width: 4}
axes:
  width: {path: width, values: [4, 8]}
seeds: 3
primary: {metric: score, margin: 0.1}
figures: [{kind: curves, by: width}, {kind: effects}, {kind: table}]
"""

Launch = Callable[..., tuple[Study, Outcome]]
ALL_FAIL = pytest.raises(UserError, match="its first 3 trials failed, the baseline's too, and none is done")


def records_in(folder: Path) -> list[Any]:
    return Ledger(folder / "results" / "mine" / "ledger").records()


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, display: Any) -> Launch:
    monkeypatch.chdir(tmp_path)

    def run(model: str = MODEL, space: str = SPACE) -> tuple[Study, Outcome]:
        (tmp_path / "model.py").write_text(model)
        (tmp_path / "mine.yaml").write_text(space)
        study = open_study(load_space("mine.yaml"), tmp_path / "results")
        return study, run_missing(study, RunOptions(inline=True), display)

    return run


def test_a_study_of_a_users_family_ends_with_a_verdict(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _ = launch()

    code = main(["report", "mine.yaml"])

    said = capsys.readouterr().out
    assert code == 0
    assert "score against 4 (higher is better; margin 0.1" in " ".join(said.split())
    assert (study.folder / "report" / "curves_width.png").is_file()
    assert "Trials are of the family mine, with" in (study.folder / "report" / "methods.md").read_text()


def test_what_a_trial_reported_and_returned_is_in_the_ledger(launch: Launch) -> None:
    study, _ = launch()

    ledger = Ledger(study.ledger_folder)
    curves = ledger.table("curves").to_pandas()
    items = ledger.table("evaluations").to_pandas()
    assert sorted(curves["epoch"].unique()) == [1, 2, 3]
    assert curves["loss"].max() == 0.25
    assert sorted(items["image_id"].unique()) == ["a", "b"]
    assert {record["metric_score"] for record in ledger.records()} == {4.0, 4.01, 4.02, 8.0, 8.01, 8.02}


def test_a_trial_is_explained_with_the_curve_that_it_reported(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    launch()

    assert main(["explain", "baseline:0"]) == 0

    said = capsys.readouterr().out
    assert "curve, means of 3 rows:" in said
    assert "epoch   1  ########################  loss 0.25" in said


def test_two_failed_trials_have_no_numbers_to_compare(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ALL_FAIL:
        launch(MODEL.replace("return {", "return None  # {"))

    assert main(["explain", "baseline:0", "baseline:1"]) == 0

    assert "Neither has curves or evaluations to compare." in capsys.readouterr().out


LOOKED_AT = MODEL.replace("\nfrom trainables.s", "\nfrom trainables.trials import sample\nfrom trainables.s")
LOOKED_AT = LOOKED_AT.replace(
    'for name in ("a", "b")]',
    'for name in ("a", "b")], [sample("a", "one line"), sample("b", b"png", "image/png", noise=0.5),'
    ' sample("c", "1\\n\\nH 0 0 0", "chemical/x-xyz", "worst")]',
)


def test_samples_of_any_kind_are_kept_and_read(launch: Launch) -> None:
    study, outcome = launch(LOOKED_AT)

    assert outcome.exit_code == 0
    samples = load_frames(study.folder).samples
    (first,) = samples[(samples["cell"] == "baseline") & (samples["seed"] == 0)].groupby("signature")
    rows = first[1].set_index("image_id")
    assert dict(rows["media_type"]) == {"a": "text/plain", "b": "image/png", "c": "chemical/x-xyz"}
    assert dict(rows["content"]) == {"a": b"one line", "b": b"png", "c": b"1\n\nH 0 0 0"}
    assert dict(rows["kind"]) == {"a": "sample", "b": "sample", "c": "worst"}
    assert rows["image"]["b"] == b"png"
    assert rows["image"]["a"] is None
    assert rows["noise"]["b"] == 0.5


WARM = MODEL.replace(
    "from trainables.settings import Settings",
    "from trainables.settings import Settings\nfrom trainables.starts import InitConfig",
).replace("    epochs: int = 3\n", "    epochs: int = 3\n    init: InitConfig | None = None\n")
WARM = WARM.replace(
    "        report(epoch", "        model_file.write_text(str(epoch + 1))\n        report(epoch"
).replace("(config, seed, report):", "(config, seed, report, start_from, model_file):")
WARM = WARM.replace(
    "    score = config.width + 0.01 * seed",
    "    known = 0 if start_from is None else int(start_from.read_text())\n"
    "    score = config.width + 0.01 * seed + known",
)
WARM_SPACE = SPACE.replace(
    "  width: {path: width, values: [4, 8]}",
    "  start: {values: {scratch: {}, small: {init: {from: {cell: {start: scratch}}}}, EPOCH}}",
)
FROM_EPOCH = "early: {init: {from: {cell: {start: scratch}}, epoch: 2, control: false}}"


def test_a_train_function_starts_from_another_trials_model(launch: Launch) -> None:
    study, outcome = launch(WARM, WARM_SPACE.replace("EPOCH", FROM_EPOCH))

    assert outcome.exit_code == 0
    score = {
        record["cell"]: record["metric_score"]
        for record in Ledger(study.ledger_folder).records()
        if record["seed"] == 0
    }
    assert score["baseline"] == 4.0
    assert score["start=small"] == 4.0 + 3
    assert score["start=early"] == 4.0 + 2
    (control,) = [cell for cell in study.plan.cells if cell.role != "parent" and cell.config.epochs == 6]  # type: ignore[attr-defined]
    assert score[control.name] == 4.0


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("start_from", "the train function takes no `start_from`"),
        ("model_file", "the train function takes no `model_file`: it leaves no model"),
    ],
)
def test_a_train_function_that_cannot_take_part_in_a_warm_start_is_told(
    launch: Launch, parameter: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        launch(WARM.replace(f", {parameter}", "", 1), WARM_SPACE.replace("EPOCH", FROM_EPOCH))


def test_a_function_that_leaves_no_model_is_a_failed_trial(launch: Launch, tmp_path: Path) -> None:
    with ALL_FAIL:
        launch(WARM.replace("model_file.write_text", "str"))

    reasons = {record["reason"] for record in records_in(tmp_path)}
    assert reasons == {"the train function left no file at `model_file`"}


def test_the_same_file_runs_nothing_again_and_a_changed_one_everything(launch: Launch) -> None:
    first, _ = launch()
    _, again = launch()
    commented, reformatted = launch(MODEL + "\n# a comment\n")
    changed, _ = launch(MODEL.replace("0.01 * seed", "0.02 * seed"))

    assert again.num_run == reformatted.num_run == 0
    assert [t.signature for t in commented.plan.trials] == [t.signature for t in first.plan.trials]
    assert not {t.signature for t in changed.plan.trials} & {t.signature for t in first.plan.trials}


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ("return None", "the train function returned nothing; expected a dict with score"),
        ("return {'score': float('nan')}", "the metric score is nan"),
        ("return {'score': 'good'}", "the metric score is text, 'good'; expected a number"),
        ("return {'score': 1.0}, [{'score': 1.0}]", "a dict with the item's id under `item`"),
        ("report(loss='low')", "report(loss=...) is text, 'low'"),
        ("raise ValueError('no data')", "ValueError: no data"),
        ("__import__('sys').exit(3)", "the train function ended the program: sys.exit(3)"),
        ("return {'score': 10**400}", "the metric score is too large for a number of 64 bits"),
    ],
)
def test_a_train_function_that_ends_badly_is_a_failed_trial_with_its_reason(
    launch: Launch, tmp_path: Path, train: str, reason: str
) -> None:
    head, body = MODEL.split("    for epoch")
    fails_once = f"{head}    if config.width == 8 and seed == 0:\n        {train}\n    for epoch{body}"

    _, outcome = launch(fails_once)

    assert (outcome.num_run, outcome.exit_code) == (5, 1)
    (failed,) = [record for record in records_in(tmp_path) if record["status"] == "failed"]
    assert reason in failed["reason"]


def test_a_launch_whose_first_three_trials_fail_is_stopped(launch: Launch, tmp_path: Path) -> None:
    with ALL_FAIL:
        launch(MODEL.replace("return {", "raise ValueError('no data')  # {"))

    assert [record["status"] for record in records_in(tmp_path)] == ["failed"] * 3


def test_a_launch_goes_on_where_a_trial_was_done_before(launch: Launch, tmp_path: Path) -> None:
    failing = MODEL.replace(
        "    for epoch", "    if seed or not Path('first').exists():\n        raise ValueError\n    for epoch"
    )
    failing = "from pathlib import Path\n" + failing
    with ALL_FAIL:
        launch(failing)
    (tmp_path / "first").touch()

    _, outcome = launch(failing)

    assert (outcome.num_run, len(outcome.failed)) == (2, 4)


def test_a_metric_that_no_trial_tells_stops_the_launch_after_the_first(
    launch: Launch, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"did not return score, .* it returned scores; did you mean scores\?\nThe launch"
    ):
        launch(MODEL.replace('{"score": score}', '{"scores": score}'))

    assert [record["status"] for record in records_in(tmp_path)] == ["failed"]


def test_a_metric_that_a_changed_cell_does_not_tell_fails_that_cell_alone(launch: Launch) -> None:
    _, outcome = launch(MODEL.replace('{"score": score}', '{"score" if config.width == 4 else "s": score}'))

    assert (outcome.num_run, len(outcome.failed)) == (3, 3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("import no_such_package", r"model.py:1 cannot be imported: ModuleNotFoundError"),
        ("x = (", r"model.py:1 cannot be imported: '\(' was never closed"),
        ("raise SystemExit(2)", r"model.py ends the program when it is imported; put what runs under"),
        ("x = 1", r"model.py has no FAMILY; end it with: FAMILY = Family"),
        ("FAMILY = 1", r"model.py: FAMILY is int; expected a Family"),
    ],
)
def test_a_file_without_a_family_is_one_message(launch: Launch, model: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{message}(?s:.*)\n1 problem\."):
        launch(model)


@pytest.mark.parametrize("encoded", [b"\xef\xbb\xbf%s", b"# -*- coding: latin-1 -*-\n# Gr\xfc\xdfe\n%s"])
def test_a_file_is_read_as_python_reads_it(launch: Launch, tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "odd.py").write_bytes(encoded.replace(b"%s", MODEL.replace("\n", "\r\n").encode()))

    _, outcome = launch(space=SPACE.replace("./model.py", "./odd.py"))

    assert outcome.num_run == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("family: ./model.py", "family: ./nothing.py"),
            "mine.yaml:3  family: expected a Python file; .* is not there",
        ),
        (
            ("family: ./model.py", "family: h_spce"),
            "expected a family; found 'h_spce'; did you mean h_space?",
        ),
        (
            ("path: width", "path: widht"),
            "expected the path of a setting; found 'widht'; did you mean width?",
        ),
        (("metric: score", "metric: scor"), "expected a metric; found 'scor'; did you mean score?"),
        (("{width: 4}", "{rate: fast}"), "baseline.rate: expected a number; found 'fast'"),
        (("{width: 4}", "{widht: 4}"), "baseline.widht: unknown setting; did you mean width?"),
    ],
)
def test_a_mistake_in_a_space_of_a_users_family_is_told_with_its_line(
    launch: Launch, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        launch(space=SPACE.replace(*change))


def test_a_price_of_a_users_family_comes_from_an_epoch_of_it(
    launch: Launch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "mine.yaml").write_text(SPACE)

    assert main(["plan", "mine.yaml", "--json"]) == 0

    price = json.loads(capsys.readouterr().out)["price"]
    assert (price["num_trials"], price["num_pilots"]) == (6, 2)
    assert price["seconds"] > 0


def test_families_of_the_package_are_found_by_name(tmp_path: Path) -> None:
    assert "h_space" in family_names()
    for name in family_names():
        assert find_family(name, tmp_path).name == name
    with pytest.raises(UserError, match="did you mean h_space"):
        find_family("hspace", tmp_path)


@pytest.mark.parametrize(("free", "lacks"), [(10**12, False), (0, True)])
def test_a_disk_without_room_for_the_plan_is_told_by_plan_and_refused_by_run(
    launch: Launch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    free: int,
    lacks: bool,
) -> None:
    launch()
    (tmp_path / "mine.yaml").write_text(SPACE.replace("seeds: 3", "seeds: 4"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: _Usage(free))

    planned, said = main(["plan", "mine.yaml"]), " ".join(capsys.readouterr().out.split())
    code, refused = main(["run", "mine.yaml", "--inline"]), capsys.readouterr().err

    assert planned == 0
    assert ("warning: " in said) is lacks
    assert code == (2 if lacks else 0)
    assert ("has 0 bytes free, and the missing trials need about" in refused) is lacks


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free
