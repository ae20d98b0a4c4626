"""Settings of molecules: complete by themselves, described, and strict."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from trainables.molecules.config import MoleculesConfig, TargetName
from trainables.molecules.elements import TARGETS
from trainables.molecules.family import FAMILY
from trainables.molecules.models import MODELS
from trainables.wording import validation_problems
from trainables.yaml_tree import read_yaml_file


def blocks(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from blocks(field.annotation)


@pytest.mark.parametrize("block", [*blocks(MoleculesConfig), *MODELS.values()])
def test_every_setting_has_a_default_and_says_what_it_is(block: type[BaseModel]) -> None:
    assert block() == block.model_validate({})
    undescribed = [
        name for name, field in block.model_fields.items() if not field.description and name != "kind"
    ]
    assert undescribed == []


def test_a_configuration_survives_json() -> None:
    config = MoleculesConfig.model_validate(
        {"model": {"kind": "transformer"}, "training": {"learning_rates": [1e-3]}}
    )

    assert MoleculesConfig.model_validate_json(config.model_dump_json()) == config
    assert MoleculesConfig().model.kind == "egnn"
    assert get_args(TargetName) == tuple(TARGETS)


def test_settings_without_effect_make_no_other_cell() -> None:
    scaled, raw = (
        MoleculesConfig.model_validate({"model": {"geometry": "radial_basis", "is_scaled": scaled}})
        for scaled in (True, False)
    )

    assert scaled != raw
    assert scaled.canonical() == raw.canonical()
    used = MoleculesConfig.model_validate({"model": {"is_scaled": False}})
    assert used.canonical() == used


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        ({"target": "homoo"}, ("target",), "did you mean homo?"),
        ({"model": {"kind": "egn"}}, ("model", "kind"), "did you mean egnn?"),
        ({"model": {"kind": "egnn", "gates": True}}, ("model", "gates"), "did you mean gate?"),
        (
            {"training": {"learning_rates": []}},
            ("training", "learning_rates"),
            "expected at least 1; found 0",
        ),
        ({"training": {"learning_rates": [0.1, 0.1]}}, ("training",), "names a rate twice"),
        ({"training": {"num_train": 5}}, ("training", "num_train"), "expected at least 20; found 5"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    content: dict[str, Any], where: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        MoleculesConfig.model_validate(content)

    [(place, text)] = validation_problems(caught.value, MoleculesConfig, content)
    assert place == where
    assert message in text


def test_encoders_that_are_compared_have_as_many_weights() -> None:
    space = read_yaml_file(Path(str(files("search_spaces") / "molecule_encoders.yaml"))).content
    written = [value.get("model", {}) for value in space["axes"]["encoder"]["values"].values()]
    settled = [FAMILY.settled({"model": {**space["baseline"]["model"], **model}})[0] for model in written]
    counts = [FAMILY.num_parameters(MoleculesConfig.model_validate(settings)) for settings in settled]

    assert len(counts) == 6
    assert max(counts) < 1.1 * min(counts)
