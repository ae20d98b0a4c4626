"""A space is read from its file: its name, its YAML, its helper blocks and its paths."""

from pathlib import Path

import pytest
from space_messages import Load, message_of, replaced

from orchestrator.plan.loading import load_space
from orchestrator.space.config import ConfigError
from trainables.h_space.domains import domain_summary
from trainables.h_space.family import HSpace
from trainables.h_space.layers import Summarise, with_absolute_paths


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


def test_a_space_is_named_after_its_file(tmp_path: Path, space_text: str, summarise: Summarise) -> None:
    path = tmp_path / "my_question.yaml"
    path.write_text(space_text, encoding="utf-8")

    assert load_space(path, family=HSpace(summarise)).name == "my_question"
