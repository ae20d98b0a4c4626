"""`tune` from its command line to the settings, the editor and the test that it leaves."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.cli import parser as cli
from orchestrator.cli import run as run_command
from orchestrator.ledger import Ledger
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import resolve_cell
from orchestrator.plan.loading import load_space
from orchestrator.search.loading import load_tuning_space
from orchestrator.search.winner import difference
from orchestrator.space.config import ConfigError, Space
from orchestrator.space.designs.optuna import Config as SearchConfig
from trainables.h_space.cli.tuning import attribute_wish
from trainables.h_space.domains import domain_summary, read_domain_file, shipped_domains

SPACE = """\
question: Which settings suit?
baseline:
  domain: avatars
  editor: {kind: conv}
  training: {epochs: 2, optimizer: {learning_rate: 0.001}}
axes:
  rate: {path: training.optimizer.learning_rate, values: {low: 1.0e-4, high: 1.0e-1, log: true}}
  encoder: {path: editor.kind, values: [conv, pixel_channel]}
  heads: {path: editor.num_heads, values: [1, 2], when: {encoder: pixel_channel}}
design: {kind: optuna, trials: 5, startup_trials: 2, retest: {seeds: 2}}
seeds: 1
primary: {metric: counterfactual_gain, margin: 0.1}
"""

Load = Callable[..., Space]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "-x"])
def test_an_attribute_that_cannot_name_a_file_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match="ATTRIBUTE: expected a name that a file can have"):
        load_tuning_space(attribute_wish(name, "a face", "a smile"))


def test_an_emoji_can_be_tuned() -> None:
    space = load_tuning_space(
        replace(attribute_wish("\N{GRINNING FACE}", "a face", "a smile"), search={"objectives": ("s_dir",)})
    )

    assert [setting.value for setting in space.settings if setting.path == "attribute"] == [
        "\N{GRINNING FACE}"
    ]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load SPACE, or what replacements make of it, for an attribute."""
    monkeypatch.chdir(tmp_path)

    def load(*replacements: tuple[str, str], attribute: str = "goblin", **wish: Any) -> Space:
        text = SPACE
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        Path("t.yaml").write_text(text)
        texts = {name: wish.pop(name) for name in ("source", "target") if name in wish}
        asked = attribute_wish(attribute, **texts, space="t.yaml")
        more = wish.pop("settings", ())
        return load_tuning_space(replace(asked, settings=(*asked.settings, *more), **wish))

    return load


def problems_of(error: pytest.ExceptionInfo[ConfigError]) -> str:
    return str(error.value)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (("kind: optuna,", "kind: optuna, sampler: tpa,"), "t.yaml:10  design.sampler: expected tpe"),
        (("kind: optuna,", "kind: optuna, trials_: 3,"), "t.yaml:10  design.trials_: unknown setting"),
        (
            ("kind: optuna,", "kind: optuna, objectives: [counterfactual_gain, image_step],"),
            "did you mean image_steps?",
        ),
        (("kind: optuna,", "kind: optuna, objectives: [s_dir],"), "expected the primary metric first"),
        (
            ("kind: optuna,", "kind: optuna, pruner: median, objectives: [counterfactual_gain, s_dir],"),
            "t.yaml:10  design.pruner: median compares one number",
        ),
        (("kind: optuna,", "kind: optuna, sampler: grid,"), "axes.rate.values: a grid needs listed values"),
        (("kind: optuna,", "kind: optuna, timeout: soon,"), "expected a time such as 90s"),
        (
            ("training.optimizer.learning_rate", "training.optimizer.learning_rat"),
            "t.yaml:7  axes.rate.path: expected the path of a setting; found",
        ),
        (("low: 1.0e-4", "low: -1.0"), "t.yaml:7"),
        (
            ("seeds: 1", "seeds: {start: 6, max: 9, until: decided}"),
            "t.yaml:11  seeds: a search gives every point the same seeds",
        ),
        (
            ("design: {kind: optuna, trials: 5, startup_trials: 2, retest: {seeds: 2}}", "design: product"),
            "t.yaml:",
        ),
    ],
)
def test_a_mistake_in_the_space_is_told_with_its_line(
    space: Load, replacement: tuple[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        space(replacement)

    assert message in problems_of(error)
    assert "No trial was started" in problems_of(error)
    assert "no cell uses it" not in problems_of(error)  # nobody knows the cells of a wrong design


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"attribute": "gobin"}, "ATTRIBUTE: expected an attribute; found 'gobin'; did you mean goblin?"),
        ({"attribute": "orc"}, "a new one needs --source and --target"),
        ({"attribute": "orc", "source": "person"}, "--target: an edit has two texts"),
        (
            {"attribute": "orc", "source": "person", "target": "green orc"},
            "domain avatars has none for orc",
        ),
        ({"search": {"sampler": "tpee"}}, "--sampler: expected tpe"),
        ({"search": {"sampler": "grid"}}, "t.yaml:7  axes.rate.values: a grid needs listed values"),
        (
            {"search": {"objectives": ("s_dir", "foo")}},
            "--objective: expected an objective; found 'foo'",
        ),
        ({"search": {"timeout": "-3"}}, "--timeout: expected a time"),
        ({"settings": ["training.epoch=2"]}, "did you mean training.epochs?"),
        (
            {"settings": ["evaluation.split=test"]},
            "evaluation.split: expected validation, which a search chooses by",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_told_by_its_option(
    space: Load, wish: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        space(**wish)

    assert message in problems_of(error)


def test_a_search_is_named_after_its_attribute_and_takes_the_command_line(space: Load) -> None:
    found = space(settings=["training.batch_size=4"], search={"trials": 9, "timeout": "2h"})

    assert found.name == "tune_goblin"
    assert isinstance(found.config.design, SearchConfig)
    assert (found.config.design.trials, found.config.design.timeout) == (9, "2h")
    assert resolve_cell(found, {}).training.batch_size == 4
    assert resolve_cell(found, {}).evaluation.split == "validation"


def test_the_shipped_space_suits_any_attribute() -> None:
    found = load_tuning_space(attribute_wish("zombie"))

    assert resolve_cell(found, {}).attribute == "zombie"


def signature_of(text: str, folder: Path) -> str:
    (folder / "own.yaml").write_text(text)
    return build_plan(load_space(folder / "own.yaml")).trials[0].signature


OWN = """\
question: q
baseline: {domain: avatars, attribute: goblin, editor: {kind: conv}}
seeds: 1
primary: {metric: s_dir, margin: 0.1}
"""


def test_the_texts_of_a_declared_attribute_are_part_of_its_identity(tmp_path: Path) -> None:
    declared = OWN + "per_attribute: {goblin: {texts: {source: person, target: TARGET}}}\n"

    plain = signature_of(OWN, tmp_path)
    same = signature_of(declared.replace("TARGET", "goblin"), tmp_path)
    other = signature_of(declared.replace("TARGET", "green goblin"), tmp_path)

    assert plain == same != other


def test_a_declared_attribute_is_drawn_only_where_the_table_knows_how(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        OWN.replace("goblin", "orc") + "per_attribute: {orc: {texts: {source: a, target: b}}}"
    )

    config = build_plan(load_space(tmp_path / "own.yaml")).trials[0].config

    assert (config.edit.source, config.edit.target, dict(config.edit.redraw)) == ("a", "b", {})


def test_a_domain_can_declare_an_attribute_and_its_settings(tmp_path: Path) -> None:
    domain, folder = read_domain_file("avatars")
    assert domain.clip.folder is not None
    content = yaml.safe_load(shipped_domains()["avatars"].read_text())
    content |= {
        "diffusion": str(folder / domain.diffusion),
        "clip": {"folder": str(folder / domain.clip.folder)},
    }
    content["per_attribute"] = {
        "orc": {
            "texts": {"source": "person", "target": "orc"},
            "training": {"epochs": 3},
            "per_editor": {"conv": {"training": {"batch_size": 3}}},
        }
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "own.yaml").write_text(OWN.replace("goblin", "orc").replace("avatars", "mine.yaml"))

    config = build_plan(load_space(tmp_path / "own.yaml")).trials[0].config

    assert "orc" in domain_summary(config.domain).attributes
    assert (config.training.epochs, config.training.batch_size) == (3, 3)
    assert config.edit.target == "orc"


def test_a_difference_merged_over_its_base_gives_the_changed_settings() -> None:
    base = {"a": {"x": 1, "y": 2}, "editor": {"kind": "conv", "norm": "group"}, "c": 1}
    changed = {"a": {"x": 1, "y": 3}, "editor": {"kind": "pixel", "num_heads": 2}, "c": 1}

    assert difference(changed, base) == {"a": {"y": 3}, "editor": {"kind": "pixel", "num_heads": 2}}


@pytest.fixture
def tune_orc(
    space: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """A whole `tune` of an attribute that is in no table, with fake trials; exit code and output."""
    space()  # writes t.yaml
    text = SPACE.replace("counterfactual_gain", "loss_direction")
    Path("t.yaml").write_text(text + "figures: [{kind: slice}]\n")
    fake = functools.partial(run_command.RunOptions, trial_class="fake_trials:TunedTrial")
    monkeypatch.setattr(run_command, "RunOptions", fake)
    words = ["tune", "orc", "--source", "person", "--target", "green orc", "--space", "t.yaml", "--inline"]
    words += ["--results", str(tmp_path / "results")]

    def run(*more: str) -> tuple[int, str]:
        code = cli.main([*words, *more])
        return code, capsys.readouterr().out

    return run


@pytest.fixture
def tuned(tune_orc: Callable[..., tuple[int, str]]) -> tuple[int, str]:
    """As asked for without any option."""
    return tune_orc()


def test_a_tuned_attribute_ends_with_a_test_settings_and_an_editor(
    tuned: tuple[int, str], tmp_path: Path
) -> None:
    code, out = tuned
    results = tmp_path / "results"

    assert code == 0
    test = Ledger(results / "tune_orc_retest" / "ledger").records()
    search = Ledger(results / "tune_orc" / "ledger").records()
    assert {record["seed"] for record in search} == {0}
    assert {record["seed"] for record in test} == {1, 2}
    assert {record["cell"] for record in test} == {"baseline", "settings=tuned"}
    splits = [{json.loads(row["config"])["evaluation"]["split"] for row in rows} for rows in (search, test)]
    assert splits == [{"validation"}, {"test"}]
    assert f"--editor {results / 'tune_orc' / 'orc.safetensors'}" in out
    assert (results / "tune_orc" / "orc.safetensors").is_file()
    assert (results / "tune_orc" / "report" / "slice.png").is_file()
    assert json.loads((results / "tune_orc" / "tuning.json").read_text())["importance"]

    # The settings it leaves make a plain cell the winner's.
    entry = yaml.safe_load((results / "tune_orc" / "orc.yaml").read_text())["per_attribute"]
    winner = next(json.loads(record["config"]) for record in test if record["cell"] == "settings=tuned")
    plain = {"domain": "avatars", "attribute": "orc", "editor": {"kind": winner["editor"]["kind"]}}
    own = yaml.safe_load(OWN) | {"baseline": plain, "per_attribute": entry}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    (trial,) = build_plan(load_space(tmp_path / "own.yaml")).trials
    found = trial.config.model_dump(mode="json")
    assert {name: found[name] for name in ("editor", "training", "texts")} == {
        name: winner[name] for name in ("editor", "training", "texts")
    }
    assert winner["texts"]["target"] == "green orc"


def test_failed_trials_of_a_search_are_named_and_end_it_with_1(
    tune_orc: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for report in (
        "orchestrator.cli.tune.show_report",
        "analysis.report.build_report",
    ):  # seconds, and nothing here
        monkeypatch.setattr(report, lambda *study: "")
    text = Path("t.yaml").read_text()
    for old, new in (
        ("design:", "  recon: {path: training.lambda_recon, values: [1.0, 8.5]}\ndesign:"),
        ("{epochs: 2,", "{epochs: 2, lambda_recon: 1.0,"),
        ("{low: 1.0e-4, high: 1.0e-1, log: true}", "[0.001, 0.01]"),
        ("trials: 5", "trials: 8, sampler: grid"),
    ):
        text = text.replace(old, new)
    Path("t.yaml").write_text(text)

    code, out = tune_orc()

    assert code == 1
    assert "failed: the loss is NaN in epoch 1" in out
    assert "Editor: " in out


def test_the_study_of_a_search_tells_what_acted_and_what_differs_from_the_default(
    tuned: tuple[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Heads act in a transformer alone, so a convolution has none."""
    results = tmp_path / "results"
    cells = json.loads((results / "tune_orc" / "study.json").read_text())["cells"]

    have = {"heads" in cell["axis_values"]: cell["axis_values"]["encoder"] for cell in cells}
    assert have == {False: "conv", True: "pixel_channel"}

    assert cli.main(["explain", cells[1]["trials"][0]["signature"], "--results", str(results)]) == 0
    assert "settings that differ from the untuned default's:" in capsys.readouterr().out


def test_a_search_of_two_objectives_names_the_editors_that_nothing_beats(
    tune_orc: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, out = tune_orc("--objective", "loss_direction", "--objective", "num_parameters")

    study = tmp_path / "results" / "tune_orc"
    front = [
        trial["signature"]
        for trial in json.loads((study / "tuning.json").read_text())["trials"]
        if trial["is_pareto"]
    ]
    assert code == 0
    assert all(f"; editor {signature})" in out for signature in front)
    assert (study / "report" / "trade_off.png").is_file()
