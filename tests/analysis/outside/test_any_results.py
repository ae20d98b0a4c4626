"""Random files, frames and margins are judged or refused, and none gives a traceback."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outside_results import judged

from analysis.outside.question import margin_of
from trainables.errors import UserError

quick = settings(
    max_examples=150, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
FIELDS = st.sampled_from(
    ["a", "b", "0", "1", "2", "0.5", "1e3", "nan", "inf", "", " ", '"x', '"a,b"', "\x00", "é", "True"]
)
LINES = st.lists(st.lists(FIELDS, min_size=1, max_size=5), max_size=10)
ENTRIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["model", "seed", "acc"]), inner)
    ),
)


def is_judged_or_refused(results: Path | pd.DataFrame, **asked: Any) -> None:
    """Any other exception fails the test."""
    with contextlib.suppress(UserError):
        found = judged(results, **asked)
        found.lines()
        json.dumps(found.as_json(), allow_nan=False)
        found.markdown()
        found.csv()


@quick
@given(lines=LINES, delimiter=st.sampled_from(",;\t"), item=st.sampled_from([None, "item"]),
       missing=st.sampled_from(["refuse", "count"]))  # fmt: skip
def test_no_csv_gives_a_traceback(
    tmp_path: Path, lines: list[list[str]], delimiter: str, item: str | None, missing: str
) -> None:
    path = tmp_path / "any.csv"
    text = "\n".join(delimiter.join(line) for line in [["model", "seed", "acc", "item"], *lines])
    path.write_text(text, encoding="utf-8")

    is_judged_or_refused(path, item=item, missing=missing)


@quick
@given(
    content=st.binary(max_size=60),
    ending=st.sampled_from(["csv", "tsv", "txt", "jsonl", "json", "parquet"]),
    start=st.sampled_from([b"", b"model,seed,acc\n", b"PAR1", b'{"model":', b"\xef\xbb\xbf"]),
)
def test_no_bytes_give_a_traceback(tmp_path: Path, content: bytes, ending: str, start: bytes) -> None:
    path = tmp_path / f"any.{ending}"
    path.write_bytes(start + content)

    is_judged_or_refused(path)


@quick
@given(entries=st.lists(ENTRIES, max_size=8), is_lines=st.booleans())
def test_no_json_gives_a_traceback(tmp_path: Path, entries: list[Any], is_lines: bool) -> None:
    path = tmp_path / ("any.jsonl" if is_lines else "any.json")
    path.write_text("\n".join(map(json.dumps, entries)) if is_lines else json.dumps(entries))

    is_judged_or_refused(path, missing="count")


@quick
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 2), st.floats(-1e300, 1e300)),
        min_size=1, max_size=40, unique_by=lambda row: row[:3],
    ),
    over=st.sampled_from([None, "seeds", "items", "both"]), missing=st.sampled_from(["refuse", "count"]),
)  # fmt: skip
def test_no_frame_gives_a_traceback(rows: list[tuple[Any, ...]], over: str | None, missing: str) -> None:
    frame = pd.DataFrame(rows, columns=["model", "seed", "item", "acc"])

    is_judged_or_refused(frame, item="item", over=over, missing=missing)


@quick
@given(
    text=st.text(max_size=12) | st.sampled_from(["1%", "1% of baseline", "% of baseline", "1e-3", "0", "1_0"])
)
def test_no_margin_gives_a_traceback(text: str) -> None:
    with contextlib.suppress(UserError):
        assert margin_of(text)[0] > 0
