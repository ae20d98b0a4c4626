"""Paths as users write them, and names that become files."""

from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.names import folded, wrong_label, wrong_name
from trainables.paths import user_path


def test_a_tilde_and_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert user_path("~/a") == user_path("$HOME/a") == user_path("${HOME}/a") == tmp_path / "a"


@pytest.mark.parametrize("name", ["$HOME", "~", "cost$", "a${b}c"])
def test_what_exists_as_it_is_written_is_meant(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    assert user_path(name, tmp_path) == tmp_path / name


def test_an_unset_variable_is_named() -> None:
    with pytest.raises(UserError, match="'\\$NOT_SET/a': the environment variable NOT_SET is not set"):
        user_path("$NOT_SET/a")


@pytest.mark.parametrize("path", ["~no_such_user/a", "a$", "$5"])
def test_what_is_no_variable_stays_as_it_is(path: str) -> None:
    assert user_path(path) == Path(path)


def test_a_name_too_long_for_a_file_is_told() -> None:
    with pytest.raises(UserError, match="no part of a path is longer than 255 bytes"):
        user_path("x" * 5000)


@pytest.mark.parametrize(
    "name", ["a", "my space (2)", "a.b", "x=1,y=2", "猫", "\N{GRINNING FACE}", "a#b%c$d", "x" * 100]
)
def test_ordinary_names_are_names(name: str) -> None:
    assert wrong_name(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "/etc", "-x", ".x", " x", "x ", "x.", "a:b", "a*b", "a|b"),
        *("NUL", "con.txt", "a\nb", "a\0b", "a\x1bb", "a\u202eb", "a\ud800b", "x" * 101, "猫" * 70),
    ],
)
def test_names_that_no_file_should_have_are_refused(name: str) -> None:
    assert wrong_name(name).startswith("expected a name that a file can have on any system; found ")


def test_names_that_differ_only_in_case_or_form_are_the_same() -> None:
    assert folded("Café") == folded("CAFE\u0301")


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "a\x1b[31m", "x" * 101])
def test_a_label_is_one_short_line(label: str) -> None:
    assert wrong_label(label)
