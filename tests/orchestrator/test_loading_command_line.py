"""Settings of the command line win over those of a space, and their mistakes name their option."""

from collections.abc import Callable

import pytest
from space_messages import Load, message_of

from orchestrator.space.config import ConfigError, Space


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


def test_the_command_line_wins_over_the_file(load: Load, space_text: str) -> None:
    space = load(space_text, domain="wide", seeds="0,7", settings=["training.epochs=5"])

    assert space.config.seeds == (0, 7)
    assert {setting.path: setting.value for setting in space.settings} == {
        "domain": "wide",
        "training.epochs": 5,
    }


def test_the_execution_block_can_be_set_on_the_command_line(
    load: Callable[..., Space], space_text: str
) -> None:
    space = load(space_text, settings=["execution.cpus_per_trial=2", "training.epochs=3"])

    assert space.config.execution.cpus_per_trial == 2
    assert [setting.path for setting in space.settings] == ["training.epochs"]


def test_a_wrong_execution_setting_names_its_option(load: Callable[..., Space], space_text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set execution\.cpus_per_trial: expected .* found 'many'"):
        load(space_text, settings=["execution.cpus_per_trial=many"])
