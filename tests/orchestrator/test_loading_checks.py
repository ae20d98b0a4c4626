"""All mistakes in a space are told at once, also settings that do not fit each other or the domain."""

from dataclasses import replace
from pathlib import Path

from space_messages import Load, message_of, replaced

from orchestrator.plan.loading import space_model
from trainables.h_space.domains import domain_summary, shipped_domains
from trainables.h_space.family import FAMILY
from trainables.h_space.layers import Summarise


def test_a_plan_that_no_memory_holds_is_refused_before_it_is_made(load: Load, space_text: str) -> None:
    values = "{" + ", ".join(f"v{number}: {{}}" for number in range(100)) + "}"
    axes = "".join(f"  a{number}: {{values: {values}}}\n" for number in range(6))

    found = message_of(load, replaced(space_text, "axes:\n", f"design: product\naxes:\n{axes}"))

    assert found == (
        "space.yaml:6  design: expected at most 100,000 trials; found 2,000,000,000,000 cells with 2 seeds each, "
        "4,000,000,000,000 trials: use fewer values or seeds, or a design that tries some of the points (random, "
        "optuna)\n1 problem. No trial was started."
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
