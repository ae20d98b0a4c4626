"""Every mistake in a space is told at once, with its line, in words that say what to write instead."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.plan.loading import load_space, space_model
from orchestrator.space.config import ConfigError, Space
from trainables.h_space.domains import domain_summary, shipped_domains
from trainables.h_space.editors import EDITORS
from trainables.h_space.family import FAMILY, HSpace
from trainables.h_space.layers import Summarise, owners, with_absolute_paths
from trainables.wording import one_of

Load = Callable[..., Space]


def message_of(load: Load, text: str, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return str(caught.value)


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


# One mistake each: (what the valid space says, what it says instead, the whole message)
MISTAKES = {
    "unknown top-level key": (
        "seeds: 2",
        "seeds: 2\ndesing: product",
        "space.yaml:9  desing: unknown setting; did you mean design?",
    ),
    "unknown editor setting": (
        "num_heads",
        "nheads",
        "space.yaml:5  baseline.editor.nheads: unknown setting for pixel_channel; did you mean num_heads?",
    ),
    "misspelt attribute": (
        "smiling",
        "smilling",
        "space.yaml:4  baseline.attribute: expected an attribute; found 'smilling'; did you mean smiling? "
        "(all: asyrp-sweep list attributes)",
    ),
    "heads that do not divide the width": (
        "num_heads: 1",
        "num_heads: 3",
        "space.yaml:5  baseline.editor.num_heads: num_heads 3 does not divide the width 64 of the pixel tokens; "
        "num_heads 3 does not divide the width 16 of the channel tokens",
    ),
    "wrong type": (
        "num_heads: 1",
        "num_heads: two",
        "space.yaml:5  baseline.editor.num_heads: expected a whole number; found 'two'",
    ),
    "out of bounds": (
        "margin: 0.05",
        "margin: 0",
        "space.yaml:9  primary.margin: expected more than 0; found 0",
    ),
    "comparing along no axis": (
        "seeds: 2",
        "seeds: 2\ncompare: encodr",
        "space.yaml:9  compare: expected an axis of this space; found 'encodr'; did you mean encoder?",
    ),
    "misspelt domain": (
        "seeds: 2",
        "seeds: 2\nper_domain: {avatar: {training: {num_images: 8}}}",
        "space.yaml:9  per_domain.avatar: expected the name of a domain; found 'avatar'; did you mean avatars?",
    ),
    "unknown setting of a domain": (
        "seeds: 2",
        "seeds: 2\nper_domain: {tiny: {training: {num_image: 8}}}",
        "space.yaml:9  per_domain.tiny.training.num_image: unknown setting; did you mean num_images?",
    ),
    "repeated key": (
        "seeds: 2",
        "seeds: 2\nseeds: 3",
        "space.yaml:9  seeds: repeated key; it is already on line 8",
    ),
    "unknown metric": (
        "metric: s_dir",
        "metric: sdir",
        "space.yaml:9  primary.metric: expected a metric; found 'sdir'; did you mean s_dir? "
        "(all: asyrp-sweep list metrics)",
    ),
    "unknown axis path": (
        "path: editor.kind",
        "path: editor.kinds",
        "space.yaml:7  axes.encoder.path: expected the path of a setting; found 'editor.kinds'; "
        "did you mean editor.kind?",
    ),
    "axis path of a whole block": (
        "path: editor.kind",
        "path: training.optimizer",
        "space.yaml:7  axes.encoder.path: expected one setting; training.optimizer holds several, such as "
        "training.optimizer.kind",
    ),
    "unknown editor on an axis": (
        "conv]",
        "convv]",
        f"space.yaml:7  axes.encoder.values[1]: expected {one_of(EDITORS)}; found 'convv'; did you mean conv?",
    ),
    "axis value of a wrong type": (
        "conv]",
        "null]",
        "space.yaml:7  axes.encoder.values[1]: expected text, a number or true/false; found nothing",
    ),
    "axis value twice": (
        "conv]",
        "conv, conv]",
        "space.yaml:7  axes.encoder.values: expected each value once; found 'conv' twice",
    ),
    "listed values without a path": (
        "path: editor.kind, ",
        "",
        "space.yaml:7  axes.encoder: listed values need a `path`, the setting they are values of",
    ),
    "baseline not on its axis": (
        "[pixel_channel, conv]",
        "[pixel, conv]",
        "space.yaml:7  axes.encoder.values: expected the baseline's own editor.kind among them, pixel_channel; "
        "found pixel or conv; add it: values: [pixel_channel, pixel, conv], or change the baseline: "
        "baseline: {editor: {kind: pixel}}",
    ),
    "two axes that set the same": (
        "axes:\n",
        "axes:\n  model: {values: {a: {editor: {kind: pixel_channel}}, b: {editor: {kind: pixel}}}}\n",
        "space.yaml:8  axes.encoder: sets editor.kind, which axis model sets too; an axis varies its own settings",
    ),
    "setting that no cell uses": (
        "kind: pixel_channel, num_heads: 1}\naxes:\n  encoder: {path: editor.kind, values: [pixel_channel, conv]}",
        "kind: conv, num_heads: 1}",
        "space.yaml:5  baseline.editor.num_heads: no cell uses it: conv has no num_heads "
        f"(only {one_of(owners('num_heads'))})",
    ),
    "more steps than there are timesteps": (
        "axes:",
        "  training: {num_train_steps: 1000000}\naxes:",
        "space.yaml:6  baseline.training.num_train_steps: expected at most 1000; found 1000000",
    ),
    "a kind of editor that is a list": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "values: {a: {}, b: {editor: {kind: [conv]}}}",
        f"space.yaml:7  axes.encoder.values.b.editor.kind: expected {one_of(EDITORS)}; found a list",
    ),
    "block written as one value": (
        "{kind: pixel_channel, num_heads: 1}",
        "pixel_channel",
        "space.yaml:5  baseline.editor: expected a mapping; found 'pixel_channel'",
    ),
    "unknown domain": (
        "domain: tiny",
        "domain: tinny",
        "space.yaml:3  baseline.domain: 'tinny' is not a domain (shipped: tiny, wide)",
    ),
    "no attribute": (
        "  attribute: smiling\n",
        "",
        "space.yaml:2  baseline.attribute: required, but missing",
    ),
    "mistake in a named value": (
        "axes:\n",
        "axes:\n  size: {values: {small: {}, large: {training: {t_edit: -1}}}}\n",
        "space.yaml:7  axes.size.values.large.training.t_edit: expected at least 0, 'auto' or a mapping; found -1",
    ),
    "seeds that are no number": (
        "seeds: 2",
        "seeds: six",
        "space.yaml:8  seeds: expected a count or a list of seeds; found 'six'",
    ),
    "claim about another axis": (
        "seeds: 2",
        "claims: [{text: more is better, axis: heads, better: 2, worse: 1}]\nseeds: 2",
        "space.yaml:8  claims[0].axis: expected an axis of this space; found 'heads'",
    ),
    "claim about another value": (
        "seeds: 2",
        "claims: [{text: conv wins, axis: encoder, better: convv, worse: pixel_channel}]\nseeds: 2",
        "space.yaml:8  claims[0].better: expected a value of axis encoder; found 'convv'; did you mean conv?",
    ),
    "claim at a misspelt coordinate": (
        "seeds: 2",
        "claims: [{text: at half, axis: encoder, better: conv, worse: pixel_channel, strenght: 0.5}]\nseeds: 2",
        "space.yaml:8  claims[0].strenght: unknown setting; did you mean strength?",
    ),
    "claim at a coordinate that is no number": (
        "seeds: 2",
        "claims: [{text: at half, axis: encoder, better: conv, worse: pixel_channel, strength: half}]\nseeds: 2",
        "space.yaml:8  claims[0].strength: expected a number; found 'half'",
    ),
    "lists as the values of an axis": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "path: evaluation.strengths, values: [[0, 1], [1]]",
        "space.yaml:7  axes.encoder.values: expected texts, numbers or true/false; found a list or a mapping among "
        "them; leave out `path` and name each value as a group of settings: values: {name_1: {evaluation: "
        "{strengths: [0, 1]}}, name_2: {evaluation: {strengths: [1]}}}",
    ),
    "two values that read alike": (
        "{path: editor.kind, values: [pixel_channel, conv]}\n",
        "{values: {a: {}, b: {training: {epochs: 3}}, 'b,x=d': {training: {epochs: 4}}}}\n"
        "  x: {values: {c: {}, d: {training: {num_images: 3}}}}\ndesign: product\n",
        "space.yaml:6  axes: two cells would be called encoder=b,x=d; expected values that read differently",
    ),
    "axes that differ in capitals alone": (
        "axes:\n",
        "axes:\n  Encoder: {path: training.epochs, values: [1, 2]}\n",
        "space.yaml:8  axes.encoder: expected names that differ in more than capitals; Encoder is there already",
    ),
    "groups that differ in capitals alone": (
        "axes:\n",
        "axes:\n  size: {values: {a: {}, A: {training: {epochs: 3}}}}\n",
        "space.yaml:7  axes.size.values.A: expected names that differ in more than capitals; a is there already",
    ),
    "a name on two lines": (
        "axes:\n",
        'axes:\n  size: {values: {small: {}, "la\\nrge": {training: {epochs: 3}}}}\n',
        "space.yaml:7  axes.size.values.la\nrge: expected a name on one line; found the character U+000A in "
        "'la\\nrge'",
    ),
    "a range that no number spans": (
        "path: editor.kind, values: [pixel_channel, conv]",
        "path: training.lambda_clip, values: {low: -1e308, high: 1e308}",
        "space.yaml:7  axes.encoder.values: expected a narrower range; found low -1e+308 and high 1e+308",
    ),
    "more seeds than a plan can have": (
        "seeds: 2",
        "seeds: 1000000000000",
        "space.yaml:8  seeds: expected at most 10,000 seeds; found 1,000,000,000,000",
    ),
    "a number in quotes": (
        "margin: 0.05",
        "margin: '0.05'",
        "space.yaml:9  primary.margin: expected a number; found '0.05'; write 0.05 without quotes",
    ),
    "a margin in a unit of its own": (
        "margin: 0.05",
        "margin: 5 %",
        "space.yaml:9  primary.margin: expected a number in the metric's own unit (asyrp-sweep list metrics), such as "
        "0.05; found '5 %'",
    ),
    "a margin that is no number": (
        "margin: 0.05",
        "margin: .nan",
        "space.yaml:9  primary.margin: expected a finite number; found .nan",
    ),
    "figure without a kind": (
        "seeds: 2",
        "figures: [{by: encoder}]\nseeds: 2",
        "space.yaml:8  figures[0]: expected a `kind` (all: asyrp-sweep list figures)",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_once_with_its_line_and_the_way_out(load: Load, space_text: str, case: str) -> None:
    old, new, message = MISTAKES[case]

    found = message_of(load, replaced(space_text, old, new))

    assert found == f"{message}\n1 problem. No trial was started."


def test_a_plan_that_no_memory_holds_is_refused_before_it_is_made(load: Load, space_text: str) -> None:
    values = "{" + ", ".join(f"v{number}: {{}}" for number in range(100)) + "}"
    axes = "".join(f"  a{number}: {{values: {values}}}\n" for number in range(6))

    found = message_of(load, replaced(space_text, "axes:\n", f"design: product\naxes:\n{axes}"))

    assert found == (
        "space.yaml:6  design: expected at most 100,000 trials; found 2,000,000,000,000 cells with 2 seeds each, "
        "4,000,000,000,000 trials: use fewer values or seeds, or a design that tries some of the points (random, "
        "optuna)\n1 problem. No trial was started."
    )


@pytest.mark.parametrize("name", ["-x", ".x", "a:b", "a\nb", "con", "x" * 101])
def test_a_file_whose_name_cannot_be_a_folders_is_told(
    tmp_path: Path, space_text: str, summarise: Summarise, name: str
) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(space_text, encoding="utf-8")

    with pytest.raises(ConfigError, match="expected a name that a file can have on any system; found "):
        load_space(path, family=HSpace(summarise))


def test_merge_keys_and_helper_blocks_work_in_a_space(load: Load, space_text: str) -> None:
    text = replaced(
        space_text, "baseline:\n", "x-short: &short {training: {epochs: 1}}\nbaseline:\n  <<: *short\n"
    )

    assert load(text).config.baseline["training"] == {"epochs": 1}


def test_a_mistake_in_a_helper_block_is_told_where_it_is_written(load: Load, space_text: str) -> None:
    text = replaced(
        space_text, "baseline:\n", "x-short: &short {training: {epochs: 0}}\nbaseline:\n  <<: *short\n"
    )

    assert message_of(load, text).startswith(
        "space.yaml:2  baseline.training.epochs: expected at least 1; found 0\n"
    )


def test_paths_may_have_a_tilde_and_variables(
    load: Load, space_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MINE", str(tmp_path))
    (tmp_path / "tiny.yaml").touch()

    for written in ("~/tiny.yaml", "$HOME/tiny.yaml", "${MINE}/tiny.yaml"):
        domain = with_absolute_paths({"domain": written}, Path("/"))["domain"]
        assert domain == str(tmp_path / "tiny.yaml")


def test_a_variable_that_is_not_set_is_told_with_the_line(load: Load, space_text: str) -> None:
    found = message_of(
        load, replaced(space_text, "domain: tiny", "domain: $NOT_SET/my.yaml"), summarise=domain_summary
    )

    assert found == (
        "space.yaml:3  baseline.domain: '$NOT_SET/my.yaml': the environment variable NOT_SET is not set, and no such "
        "path exists\n1 problem. No trial was started."
    )


def test_a_key_that_is_no_text_is_told(load: Load, space_text: str) -> None:
    found = message_of(load, replaced(space_text, "axes:\n", "axes:\n  heads: {values: {1: {}}}\n"))

    assert found.startswith(
        "space.yaml:7  axes.heads.values: expected a name as key; found 1; write '1' in quotes\n"
    )


def test_all_mistakes_are_told_at_once_from_the_top(load: Load, space_text: str) -> None:
    text = replaced(space_text, "smiling", "smilling")
    text = replaced(text, "num_heads: 1", "num_heads: 3, nheads: 1")
    text = replaced(text, "seeds: 2", "seeds: [1, yes]\ncolour: blue")
    text = replaced(text, "margin: 0.05", "marign: 0.05")

    found = message_of(load, text, settings=["training.epochs=none"], seeds=None)

    assert found == (
        "space.yaml:4  baseline.attribute: expected an attribute; found 'smilling'; did you mean smiling? "
        "(all: asyrp-sweep list attributes)\n"
        "space.yaml:5  baseline.editor.nheads: unknown setting for pixel_channel; did you mean num_heads?\n"
        "space.yaml:5  baseline.editor.num_heads: num_heads 3 does not divide the width 64 of the pixel tokens; "
        "num_heads 3 does not divide the width 16 of the channel tokens\n"
        "space.yaml:8  seeds[1]: expected a whole number; found 'yes'\n"
        f"space.yaml:9  colour: unknown setting; known here: {', '.join(sorted(space_model(FAMILY).model_fields))}\n"
        "space.yaml:10  primary.margin: required, but missing\n"
        "space.yaml:10  primary.marign: unknown setting; did you mean margin?\n"
        "--set training.epochs: expected a whole number; found 'none'\n"
        "8 problems. No trial was started."
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epochs", "--set training.epochs: expected setting=value, such as training.epochs=2"),
        (
            "training.epoch=2",
            "--set training.epoch: expected the path of a setting; found 'training.epoch'; "
            "did you mean training.epochs?",
        ),
        ("training.epochs=two", "--set training.epochs: expected a whole number; found 'two'"),
        ("training.epochs=[", "--set training.epochs: not YAML: while parsing a flow node, "),
        ("editor.kind=conv", "--set editor.kind: axis encoder varies editor.kind; it cannot be set as well"),
        (
            "attribute=smilling",
            "--set attribute: expected an attribute; found 'smilling'; did you mean smiling?",
        ),
    ],
)
def test_a_bad_setting_of_the_command_line_is_told(
    load: Load, space_text: str, setting: str, message: str
) -> None:
    found = message_of(load, space_text, settings=[setting])

    assert found.startswith(message)
    assert found.endswith("\n1 problem. No trial was started.")


def test_bad_domain_and_seeds_of_the_command_line_are_told(load: Load, space_text: str) -> None:
    found = message_of(load, space_text, domain="nowhere", seeds="many")

    assert found == (
        "--seeds: expected a count or a list of seeds; found 'many'\n"
        "--domain: 'nowhere' is not a domain (shipped: tiny, wide)\n"
        "2 problems. No trial was started."
    )


@pytest.mark.parametrize("seeds", ["1e400", "&a [*a]", "[", "1,.nan"])
def test_seeds_that_are_no_number_are_told_as_written(load: Load, space_text: str, seeds: str) -> None:
    found = message_of(load, space_text, seeds=seeds)

    assert found == (
        f"--seeds: expected a count or a list of seeds; found {seeds!r}\n1 problem. No trial was started."
    )


def test_settings_that_do_not_fit_each_other_are_told_beside_wrong_types(load: Load, space_text: str) -> None:
    wrong = "evaluation: {strengths: [0.5], num_images: many}\n  training: {epochs: none}\naxes:"

    found = message_of(load, replaced(space_text, "axes:", f"  {wrong}"))

    assert found == (
        "space.yaml:6  baseline.evaluation.num_images: expected a whole number; found 'many'\n"
        "space.yaml:6  baseline.evaluation: primary_strength 1.0 is not among strengths [0.5]\n"
        "space.yaml:7  baseline.training.epochs: expected a whole number; found 'none'\n"
        "3 problems. No trial was started."
    )


def test_a_wrong_setting_is_not_judged_by_its_default(load: Load, space_text: str) -> None:
    wrong = "evaluation: {strengths: [0.5, much], primary_strength: 0.5}\naxes:"

    found = message_of(load, replaced(space_text, "axes:", f"  {wrong}"))

    assert found == (
        "space.yaml:6  baseline.evaluation.strengths[1]: expected a number; found 'much'\n"
        "1 problem. No trial was started."
    )


def test_a_wrong_domain_default_names_the_domain(load: Load, space_text: str, summarise: Summarise) -> None:
    summary = replace(summarise("tiny"), defaults={"training": {"epochs": "many"}})

    found = message_of(load, space_text, summarise=lambda name: summary)

    assert found.startswith("domain tiny, defaults  training.epochs: expected a whole number; found 'many'\n")


def test_a_mistake_in_the_defaults_of_a_domain_is_told_with_its_line(
    load: Load, space_text: str, tmp_path: Path
) -> None:
    shipped = shipped_domains()["avatars"]
    text = shipped.read_text(encoding="utf-8").replace("    epochs: 2\n", "    epochs: many\n")
    text = text.replace("weights", str(shipped.parent / "weights"))
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")

    found = message_of(load, replaced(space_text, "tiny", "mine.yaml"), summarise=domain_summary)

    line = text.splitlines().index("    epochs: many") + 1
    assert found == (
        f"{tmp_path}/mine.yaml:{line}  defaults.training.epochs: expected a whole number; found 'many'\n"
        "1 problem. No trial was started."
    )


def test_a_default_that_does_not_fit_is_told_once_at_the_baseline(
    load: Load, space_text: str, summarise: Summarise
) -> None:
    summary = replace(summarise("tiny"), defaults={}, num_images={"train": 20, "test": 3000})
    axis = "axes:\n  rate: {path: training.optimizer.learning_rate, values: [0.0001, 0.001]}\n"
    text = replaced(
        space_text, "axes:\n", f"  training: {{epochs: 2, optimizer: {{learning_rate: 0.0001}}}}\n{axis}"
    )

    found = message_of(load, text, summarise=lambda name: summary)

    assert found == (
        "space.yaml:6  baseline.training.num_images: expected at most 20, all train images of domain tiny; found 1000\n"
        "1 problem. No trial was started."
    )


def test_more_images_than_a_domain_has_are_told_before_anything_runs(
    load: Load, space_text: str, summarise: Summarise
) -> None:
    summary = replace(summarise("tiny"), num_images={"train": 20, "test": 3})
    text = replaced(space_text, "axes:", "  training: {num_images: 21}\n  evaluation: {num_images: 4}\naxes:")

    found = message_of(load, text, summarise=lambda name: summary)

    assert found == (
        "space.yaml:6  baseline.training.num_images: expected at most 20, all train images of domain tiny; found 21\n"
        "space.yaml:7  baseline.evaluation.num_images: expected at most 3, all test images of domain tiny; found 4\n"
        "2 problems. No trial was started."
    )


def test_further_checks_are_located_like_our_own(load: Load, space_text: str) -> None:
    found = message_of(load, space_text, extra_checks=[lambda config: [(("primary", "margin"), "too small")]])

    assert found == "space.yaml:9  primary.margin: too small\n1 problem. No trial was started."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "space.yaml:1  expected a mapping; found nothing"),
        ("- a\n", "space.yaml:1  expected a mapping; found a list"),
        ("a: [\n", "space.yaml:2  not YAML: while parsing a flow node, expected the node content, but found"),
        (
            "a: !!python/name:os.system x\n",
            "space.yaml:1  a: the tag !!python/name:os.system has no meaning here",
        ),
    ],
)
def test_what_is_no_space_at_all_is_told(load: Load, text: str, message: str) -> None:
    assert message_of(load, text).startswith(message)


def test_an_alias_inside_itself_is_told(load: Load) -> None:
    assert "space.yaml:1  a[0]: an alias that contains itself\n" in message_of(load, "a: &x [*x]\n")


def test_an_unknown_space_suggests_a_shipped_one() -> None:
    with pytest.raises(ConfigError) as caught:
        load_space("encodr")

    assert str(caught.value) == (
        "encodr  neither a shipped space nor a file; did you mean encoder? (all: asyrp-sweep list spaces)\n"
        "1 problem. No trial was started."
    )


def test_numbers_and_words_are_read_by_the_yaml_1_2_core_schema(load: Load, space_text: str) -> None:
    text = replaced(space_text, "seeds: 2", "published: {a: no, b: 12:30:00, c: 2026-01-01}\nseeds: 010")
    text = replaced(text, "axes:", "  training: {optimizer: {learning_rate: 1e-3}}\naxes:")

    config = load(text).config

    assert config.published == {"a": "no", "b": "12:30:00", "c": "2026-01-01"}
    assert len(config.seeds) == 10
    assert config.baseline["training"]["optimizer"]["learning_rate"] == 0.001


def test_the_command_line_wins_over_the_file(load: Load, space_text: str) -> None:
    space = load(space_text, domain="wide", seeds="0,7", settings=["training.epochs=5"])

    assert space.config.seeds == (0, 7)
    assert {setting.path: setting.value for setting in space.settings} == {
        "domain": "wide",
        "training.epochs": 5,
    }


def test_a_space_is_named_after_its_file(tmp_path: Path, space_text: str, summarise: Summarise) -> None:
    path = tmp_path / "my_question.yaml"
    path.write_text(space_text, encoding="utf-8")

    assert load_space(path, family=HSpace(summarise)).name == "my_question"


def test_the_execution_block_can_be_set_on_the_command_line(
    load: Callable[..., Space], space_text: str
) -> None:
    space = load(space_text, settings=["execution.cpus_per_trial=2", "training.epochs=3"])

    assert space.config.execution.cpus_per_trial == 2
    assert [setting.path for setting in space.settings] == ["training.epochs"]


def test_a_wrong_execution_setting_names_its_option(load: Callable[..., Space], space_text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set execution\.cpus_per_trial: expected .* found 'many'"):
        load(space_text, settings=["execution.cpus_per_trial=many"])
