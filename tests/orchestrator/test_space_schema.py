"""Editors complete and check a space by a schema that is made from the models themselves."""

from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from analysis.figures import FIGURES
from orchestrator.plan.schema import schema_file, schema_text, space_schema
from search_spaces import shipped_spaces
from trainables.yaml_tree import read_yaml

FIGURE_OPTIONS = {kind: figure.config for kind, figure in FIGURES.items()}
HEAD = "question: q\nbaseline: {domain: avatars, attribute: smiling, editor: {kind: conv}}\nseeds: 2\n"
VALID = HEAD + "primary: {metric: s_dir, margin: 0.1}\n"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = space_schema(FIGURE_OPTIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(validator: Any, text: str) -> list[str]:
    return [
        ".".join(map(str, error.absolute_path)) for error in validator.iter_errors(read_yaml(text).content)
    ]


@pytest.mark.parametrize("family", ["h_space", "command", "molecules"])
def test_the_shipped_schema_is_the_one_that_the_models_give(family: str) -> None:
    file = schema_file(family)
    shipped = (files("search_spaces") / file).read_text(encoding="utf-8")

    command = f"asyrp-sweep schema --family {family} > search_spaces/{file}"
    assert shipped == schema_text(FIGURE_OPTIONS, family), command


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_names_the_schema_and_fits_it(validator: Any, name: str) -> None:
    text = shipped_spaces()[name].read_text(encoding="utf-8")
    family = read_yaml(text).content.get("family", "h_space")
    if family != "h_space":
        validator = jsonschema.Draft202012Validator(space_schema(FIGURE_OPTIONS, family))

    assert text.startswith(f"# yaml-language-server: $schema={schema_file(family)}\n")
    assert complaints(validator, text) == []


def test_a_space_of_commands_is_checked_as_one() -> None:
    validator = jsonschema.Draft202012Validator(space_schema(FIGURE_OPTIONS, "command"))
    sound = (
        "question: q\nfamily: command\nbaseline: {command: x, settings: {lr: 1}, metrics: {a: higher is better}}\n"
        "axes: {lr: {path: settings.lr, values: [1, 2]}}\nseeds: 2\nprimary: {metric: a, margin: 0.1}\n"
    )

    assert complaints(validator, sound) == []
    assert complaints(validator, sound.replace("path: settings.lr", "path: seting.lr")) == ["axes.lr"]
    assert complaints(validator, sound.replace("command: x", "comand: x")) == ["baseline"]


@pytest.mark.parametrize(
    "text",
    [
        VALID,
        VALID.replace("seeds: 2", "seeds: [0, 4]"),
        VALID.replace("seeds: 2", "seeds: {start: 6, max: 20, until: decided}"),
        VALID + "design: product\n",
        VALID + "design: {kind: random, samples: 3}\n",
        VALID + "axes: {heads: {path: editor.num_heads, values: [1, 2], off: 2, when: {encoder: pixel}}}\n",
        VALID
        + "axes: {rate: {path: training.optimizer.learning_rate, values: {low: 0.1, high: 1, log: true}}}\n",
        VALID + "axes: {size: {values: {small: {}, large: {training: {epochs: 2}}}}}\n",
        VALID + "constraints: [{not: {heads: [1, 2]}, because: why}]\n",
        "extends: encoder\naxes: {encoder: null}\n",
    ],
)
def test_what_a_space_may_say_fits_the_schema(validator: Any, text: str) -> None:
    assert complaints(validator, text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (VALID.replace("margin", "marign"), "primary"),
        (VALID.replace("kind: conv", "kind: convv"), "baseline.editor.kind"),
        (VALID.replace("{kind: conv}", "{kind: conv, headz: 1}"), "baseline.editor"),
        (VALID.replace("s_dir", "sdir"), "primary.metric"),
        (VALID + "design: prodct\n", "design"),
        (VALID + "axes: {heads: {path: editor.heads, values: [1, 2]}}\n", "axes.heads"),
        (VALID + "figures: [{kind: curvs}]\n", "figures.0"),
        (HEAD, ""),
    ],
)
def test_what_is_wrong_is_marked_at_its_place(validator: Any, text: str, place: str) -> None:
    assert any(found.startswith(place) for found in complaints(validator, text))


def test_settings_carry_their_descriptions(validator: Any) -> None:
    epochs = validator.schema["$defs"]["PartialTrainingConfig"]["properties"]["t_edit"]

    assert epochs["description"].startswith("The edit is trained and applied")
