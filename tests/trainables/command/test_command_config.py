"""What is told about a command before anything runs."""

from typing import Any

import pytest
from pydantic import ValidationError

from trainables.command.config import CommandConfig
from trainables.command.filling import problems

GOOD: dict[str, Any] = {
    "command": "{python} {here}/train.py --lr {lr} --seed {seed} --out {folder}",
    "settings": {"lr": 0.1},
    "metrics": {"accuracy": "higher is better"},
}


def found(**given: Any) -> list[tuple[str, str]]:
    config = CommandConfig.model_validate({**GOOD, **given})
    return [(".".join(map(str, place)), message) for place, message in problems(config)]


def test_a_sound_command_has_no_problem() -> None:
    assert found() == []


def test_a_placeholder_without_a_setting_is_named_with_the_nearest_one() -> None:
    assert found(command="train --lr {lrr} --seed {seed}", reads=["config"]) == [
        ("command", "no setting fills {lrr}; did you mean lr?")
    ]
    assert found(command="awk {print} {lr} {seed}") == [
        ("command", "no setting fills {print}; write {{print}} for the text {print} itself")
    ]


def test_placeholders_of_environment_and_working_folder_count_too() -> None:
    places = [place for place, _ in found(environment={"RATE": "{rate}"}, working_folder="{heer}")]

    assert places == ["environment.RATE", "working_folder"]
    assert found(command="train {seed}", environment={"RATE": "{lr}"}) == []


def test_a_setting_that_reaches_nothing_is_named() -> None:
    ((place, message),) = found(
        command="train --lr {learning_rate} {seed}", settings={"lr": 1, "learning_rate": 2}
    )

    assert place == "settings.lr"
    assert (
        "neither command nor environment has {lr}; add it, or {config}, or `reads: [environment]`" in message
    )
    assert "TRIAL_LR" in message


@pytest.mark.parametrize(
    "given", [{"command": "train {config}"}, {"command": "train", "reads": ["environment"]}]
)
def test_settings_may_come_by_file_or_environment(given: dict[str, Any]) -> None:
    assert found(**given) == []


def test_a_seed_that_does_not_reach_the_script_is_a_problem() -> None:
    ((place, message),) = found(command="train {lr}")

    assert place == "command"
    assert "the seed does not reach the script" in message


def test_names_that_collide_are_told() -> None:
    told = found(settings={"lr": 1, "LR": 2, "seed": 3}, reads=["config"])

    assert told == [
        ("settings.LR", "LR and lr would be one environment variable, TRIAL_LR"),
        ("settings.seed", "{seed} has a meaning of its own; give the setting another name"),
    ]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train 'open {seed}", "cannot be split into words: no closing quotation"),
        ("  ", "expected a program and its arguments; found nothing"),
        (["", "{seed}"], "expected a program and its arguments; found nothing"),
    ],
)
def test_a_command_that_is_none_is_told(command: object, told: str) -> None:
    assert found(command=command) == [("command", told)]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("accuracy", "expected one group"),
        ("(", "is no regular expression: missing )"),
    ],
)
def test_a_wrong_pattern_is_told(pattern: str, told: str) -> None:
    ((place, message),) = found(metrics={"accuracy": {"better": "lower is better", "pattern": pattern}})

    assert place == "metrics.accuracy.pattern"
    assert message.startswith(told)


def test_how_many_values_count_is_only_asked_of_several() -> None:
    ((place, message),) = found(metrics={"accuracy": {"better": "lower is better", "of_last": 3}})

    assert place == "metrics.accuracy.of_last"
    assert message == "needs `take: mean` or `take: best`; found take: last"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"curves_pattern": "loss ([0-9.]+)"}, "expected named groups"),
        ({"curves_pattern": "(?P<loss>"}, "is no regular expression"),
        (
            {"curves_pattern": "(?P<loss>.)", "curves_file": "log.csv"},
            "expected one of curves_pattern and curves_file",
        ),
    ],
)
def test_a_wrong_pattern_of_curves_is_told(given: dict[str, Any], told: str) -> None:
    ((place, message),) = found(**given)

    assert place == "curves_pattern"
    assert message.startswith(told)


@pytest.mark.parametrize(
    "given",
    [
        {"metrics": {}},
        {"metrics": {"accuracy": "higher"}},
        {"metrics": {"val acc": "higher is better"}},
        {"settings": {"a-b": 1}},
        {"time_limit_seconds": 0},
        {"comand": "x"},
    ],
)
def test_what_does_not_validate(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommandConfig.model_validate({**GOOD, **given})
