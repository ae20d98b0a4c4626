"""Whatever a file holds, it is read or refused with a line, in bounded time and memory."""

from pathlib import Path

import pytest

from trainables.yaml_tree import MAX_BYTES, MAX_VALUES, read_yaml, read_yaml_file

DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: 1e-3", {"a": 0.001}),
        ("a: [no, 12:30, 2026-01-01, 1_000, 1:30]", {"a": ["no", "12:30", "2026-01-01", "1_000", "1:30"]}),
        ("a: [012, 0o17, 0x1f, -0.0]", {"a": [12, 15, 31, 0.0]}),
        ('a: "\\ud83d\\ude00"', {"a": "\N{GRINNING FACE}"}),
        ("\ufeffa: 1", {"a": 1}),
        ("---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_values_are_those_of_the_core_schema(text: str, content: object) -> None:
    tree = read_yaml(text)

    assert repr(tree.content) == repr(content)
    assert tree.problems == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("b: 1\na: .inf", 2, "expected a finite number; found .inf"),
        ("a: .nan", 1, "expected a finite number; found .nan"),
        ("a: 1e999999", 1, "expected a finite number; found 1e999999"),
        (f"a: {DIGITS}", 1, "expected a whole number of at most 64 bits; found 99999999999999999... (5000 "),
        (
            "a: 0xfffffffffffffffffffff",
            1,
            "expected a whole number of at most 64 bits; found 0xfffffffffffffff...",
        ),
        ("a: !!int abc", 1, "the tag !!int has no meaning here"),
        ("a: !!timestamp x", 1, "the tag !!timestamp has no meaning here"),
        ('b: 1\na: "\\0"', 2, "expected text; found a NUL character"),
        ('a: "\\ud83d"', 1, "expected text; found half a character"),
        ('a: "\\UFFFFFFFF"', 1, "not YAML: an escape that is no character"),
        ("b: 1\na: \x07", 2, "expected text; found the control character U+0007; leave it out"),
        ("a:\n\tb: 1", 2, "not YAML: while scanning for the next token, found character '\\t'"),
        ("a: 1\n---\nb: 2", 2, "not YAML: expected a single document in the stream"),
        ("a: 1\na: 2", 2, "repeated key; it is already on line 1"),
        ("a: *b", 1, "not YAML: found undefined alias 'b'"),
        ("a: &a {<<: *a}", 1, "an alias that contains itself"),
        ("a:\n  <<: 1", 2, "expected a mapping, or a list of mappings, after <<"),
        ("? [1]\n: 2", 1, "expected a name as key; found a list or mapping"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, message: str) -> None:
    (found,) = read_yaml(text).problems

    assert found[0] == line
    assert found[2].startswith(message)


def laughs(inner: str, outer: str) -> str:
    levels = [f"a0: &a0 {inner}"]
    levels += [f"a{i}: &a{i} {outer.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 12)]
    return "\n".join(levels)


@pytest.mark.parametrize(
    "text",
    [laughs("[x, x, x]", "[{}]"), laughs("{x: 1}", "{{<<: [{}]}}")],
    ids=["nested aliases", "nested merge keys"],
)
def test_aliases_of_aliases_are_refused_before_they_fill_the_memory(text: str) -> None:
    ((_, _, message),) = read_yaml(text).problems

    assert message == f"expected at most {MAX_VALUES:,} values, with every alias written out; found more"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "\n".join(["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 200))]),
    ],
    ids=["lists", "mappings", "block lists", "a chain of aliases"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    ((_, _, message),) = read_yaml(text).problems

    assert message == "expected at most 50 levels of nesting"


def test_merge_keys_give_what_a_mapping_does_not_say_with_their_lines() -> None:
    text = "x-a: &a {one: 1, two: 2}\nx-b: &b {two: 3, four: 4}\nc:\n  <<: [*a, *b]\n  one: 5\n"

    tree = read_yaml(text)

    assert tree.content == {"c": {"one": 5, "two": 2, "four": 4}}
    assert [tree.line_of(("c", name)) for name in ("one", "two", "four")] == [5, 1, 2]


def test_helper_blocks_are_left_out_at_the_top_alone() -> None:
    assert read_yaml("x-a: 1\nb: {x-c: 2}").content == {"b": {"x-c": 2}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_with_a_byte_order_mark_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("a: é\n".encode(encoding))

    assert read_yaml_file(path).content == {"a": "é"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            "b: 1\na: é\n".encode("latin-1"),
            (2, "", "expected UTF-8 text; found the byte 0xe9; save the file as UTF-8"),
        ),
        (
            "a: 1\n".encode("utf-16-le"),
            (1, "", "expected text; found a NUL character; save the file as UTF-8"),
        ),
        (b"#" * (MAX_BYTES + 1), (0, "", "expected at most 1 MB of YAML; found more")),
    ],
    ids=["latin-1", "utf-16 without a mark", "too large"],
)
def test_files_of_another_kind_are_refused(
    tmp_path: Path, data: bytes, problem: tuple[int, str, str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)

    assert read_yaml_file(path).problems == [problem]
