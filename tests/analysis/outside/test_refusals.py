"""Results and questions that cannot be judged are refused, with row and column."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outside_results import ASKED, judged, runs

from analysis.outside.question import ask
from trainables.errors import UserError

SMALL = "model,seed,acc\na,0,0.5\na,1,0.6\nb,0,0.7\nb,1,0.7\n"


# What is refused


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        ("", {}, r"results.csv  is empty; expected a line of column names"),
        ("\n\n", {}, r"results.csv  is empty"),
        ("model,seed,acc\n", {}, r"holds no results, only names of columns"),
        (SMALL, {"metric": "ac"}, r"no column 'ac'; did you mean acc\?; its columns: model, seed, acc"),
        (SMALL.replace("a,", "a" * 300 + ","), {"baseline": "A"}, r"there are a{100}\.\.\. \(300 characters\), b"),
        (SMALL, {"baseline": "A"}, r"column model: no row has the baseline 'A'; .*there are a, b"),
        (SMALL, {"item": "doc"}, r"no column 'doc'"),
        ("model,seed,acc\na,0,1\na,1,1\n", {}, r"column model: every row is of 'a'; expected another variant"),
        (SMALL + "c,0,0.5\n", {}, r"csv:6  column model: the only row of 'c'; one value has no spread"),
        (SMALL + "b,1,0.8\n", {}, r"csv:6  column acc: a second row for model b, seed 1; the first is line 5"),
        (SMALL + "b,2,0.8\n", {}, r"csv:6  column seed: 'a' has no row for seed 2, so this value has no partner"),
        (SMALL + "b,1 .0,x\n", {}, r"csv:6  column acc: expected a finite number; found 'x'"),
        (SMALL.replace("0.5", "nan"), {}, r"csv:2  column acc: no number; --missing count counts it"),
        (SMALL.replace("0.5", ""), {}, r"csv:2  column acc: no number"),
        (SMALL.replace("0.5", "inf"), {}, r"csv:2  column acc: expected a finite number; found 'inf'"),
        (SMALL.replace("0.5", '"0,5"'), {}, r"csv:2  column acc: expected a finite number; found '0,5'; write 0.5"),
        (SMALL.replace("a,0,", "a,,"), {}, r"csv:2  column seed: empty; expected a name or a number"),
        (SMALL.replace("a,0,", ",0,"), {}, r"csv:2  column model: empty"),
        (SMALL + "b,2\n", {}, r"csv:6  expected 3 values, as in the line of column names; found 2"),
        (SMALL + "\n\nb,2,0.7,9\n", {}, r"csv:8  expected 3 values"),
        (SMALL + 'b,"2,0.7\n', {}, r"csv:6  is not CSV: a quotation mark is opened here and never closed"),
        ("model,seed,acc,acc\na,0,1,1\n", {}, r"csv:1  column acc: two columns have this name"),
        ("model;seed;acc\na;0;x\n", {"baseline": "b"}, r"csv:2  column acc: expected a finite number; found 'x'"),
        (SMALL.replace("b,0", "b,7").replace("b,1", "b,8"), {}, r"column seed: .*; 'b' and 'a' share none"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,2,\n", {"item": "item"},
         r"csv:5 .*give the item the value"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,3,1\n", {"item": "item"},
         r"csv:3  column item: 'b' has no row for seed 0, item 2, so this value has no partner \(2 such rows in all\)"),
        ("model,seed,item,doc,acc\na,0,1,x,1\na,0,2,x,1\nb,0,1,y,1\nb,0,2,x,1\n", {"item": "item", "cluster": "doc"},
         r"csv:4  column doc: item 1 is in 'y', and line 2 in 'x'; an item is in one cluster"),
        ("model,seed,item,acc\na,0,1,1\na,0,2,1\nb,0,1,1\nb,0,2,1\n", {},
         r"a second row for model a, seed 0; the first is line 2; where rows differ in another column, .*--item: item"),
        (SMALL, {"where": (("seed", "9"),)}, r"column seed: no row has '9'"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_judged_is_refused_with_its_line_and_column(
    write: Callable[..., Path], text: str, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        judged(write(text), **asked)


def test_a_line_is_counted_as_an_editor_counts_it(write: Callable[..., Path]) -> None:
    text = 'model,seed,note,acc\na,0,"two\nlines",1\n\na,1,x,oops\n'

    with pytest.raises(UserError, match=r"csv:5  column acc: expected a finite number; found 'oops'"):
        judged(write(text))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("model,seed,acc\na,0,1\nb\xe9,0,1\n".encode("latin-1"), "r.csv", r"r.csv:3  byte 0xe9 is not UTF-8"),
        (SMALL.encode("utf-16"), "r.csv", r"is text in UTF-16; save it as UTF-8"),
        (b"PAR1 not really", "r.parquet", r"is not a Parquet file that can be read"),
        (b'{"model": "a"}\n{"model": \n', "r.jsonl", r"r.jsonl:2  is not JSON"),
        (b"[1]\n", "r.jsonl", r"r.jsonl:1  expected an object with a value for each column"),
        (b"[1]\n", "r.json", r"expected an object"),
        (b'{"a": 1}\n', "r.json", r"expected a list of objects"),
        (b"[" * 100_000, "r.json", r"is no JSON that can be read"),
        (b"x", "r.xlsx", r"cannot tell what kind of file this is; expected a name ending in .csv"),
        (b"", "r.parquet", r"is not a Parquet file"),
        (b"", "r.jsonl", r"is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    write: Callable[..., Path], content: bytes, name: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        judged(write(content, name))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"margin": "1%"}, r'--margin: 1% of what\? Write a number .* or "1% of baseline"'),
        ({"margin": "1 pp"}, r"--margin: expected a number above 0 in the unit of the metric"),
        ({"margin": "-0.1"}, r"--margin: expected a number above 0"),
        ({"margin": "nan"}, r"--margin: expected a number above 0"),
        ({"margin": True}, r"--margin: expected a number above 0"),
        ({"alpha": 1.5}, r"--alpha: expected a number between 0 and 1; found 1.5"),
        ({"seed": None}, r"--seed: required without --item"),
        ({"cluster": "doc"}, r"--cluster: groups items"),
        ({"over": "both"}, r"--over both: needs --item"),
        ({"over": "seed"}, r"--over: expected seeds, items or both; found 'seed'; did you mean seeds\?"),
        ({"seed": "model"}, r"--seed: column 'model' is the variant already"),
        ({"metric": "val_loss"}, r"--direction: say whether 'val_loss' is better lower or higher"),
    ],
)
def test_a_question_that_means_nothing_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ask(**ASKED | asked)


def test_a_share_of_a_baseline_that_is_not_positive_is_refused() -> None:
    frame = runs().assign(acc=lambda table: table["acc"] - 5)

    with pytest.raises(
        UserError, match="a share of the baseline means something only where its mean is above 0"
    ):
        judged(frame, margin="5% of baseline")
