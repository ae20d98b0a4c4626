"""Curves out of files that grow, are cut short, or are written anew."""

import json
from pathlib import Path

import pytest

from trainables.command import curves as curves_module
from trainables.command.curves import Curves, column_name
from trainables.command.reading import Unreadable, cut_half_line, read_rows


def followed(path: Path) -> Curves:
    curves = Curves()
    curves.follow(path)
    return curves


def losses(curves: Curves) -> list[float]:
    return [row["loss"] for row in curves.rows]


def test_a_half_written_last_line_is_left_for_next_time(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text('{"loss": 1}\n{"lo')
    curves = followed(path)

    assert curves.read() == 1
    with path.open("a") as file:
        file.write('ss": 2}\n{"loss": 3}')
    assert curves.read() == 1
    assert curves.read() == 0
    assert curves.read(is_final=True) == 1
    assert losses(curves) == [1, 2, 3]


def test_a_csv_file_grows_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\ufeffepoch,loss,split\r\n1,0.5,train\r\n1,0.2")
    curves = followed(path)

    assert curves.read() == 1
    with path.open("a") as file:
        file.write('5,"valid"\r\n\r\nepoch,loss,split\r\n2,,train\r\n3,nan,train\r\n')
    curves.read()

    assert [row["epoch"] for row in curves.rows] == [1, 1, 2, 3]
    assert [row.get("loss") for row in curves.rows[:3]] == [0.5, 0.25, None]
    assert curves.notes == ["log.csv: split holds no number ('train') and is no part of the curves"]


@pytest.mark.parametrize(
    "text",
    [
        '#{"t_start": 1.5, "env_id": "CartPole-v1"}\nepoch,loss\n1,0.5\n2,0.25\n',  # stable-baselines3's Monitor
        "# made by hand\n#\n# epoch,loss\n1,0.5\n2,0.25\n",  # numpy.savetxt(..., header="epoch,loss")
        "#epoch,loss\n1,0.5\n2,0.25\n",
    ],
)
def test_comments_above_a_csv_file_are_no_rows(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text[:12])  # its first line is still growing
    curves = followed(path)
    curves.read()
    path.write_text(text)
    curves.read(is_final=True)

    assert [(row["epoch"], row["loss"]) for row in curves.rows] == [(1, 0.5), (2, 0.25)]


def test_below_the_header_a_row_may_begin_with_a_hash(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item,accuracy\n#1,0.5\n")

    assert read_rows(tmp_path / "items.csv") == [{"item": "#1", "accuracy": "0.5"}]


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,1\n2,2\n")
    curves = followed(path)
    curves.read()

    path.write_text("epoch,loss,accuracy\n1,1,0.5\n2,2,0.5\n3,3,0.5\n")
    curves.read()

    assert losses(curves) == [1, 2, 3]
    assert curves.rows[0]["accuracy"] == 0.5


def test_a_file_written_anew_with_the_same_beginning_loses_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text('{"loss": 1}\n')
    curves = followed(path)
    curves.read()

    path.unlink()
    path.write_text('{"loss": 1}\n{"loss": 2}\n')
    curves.read()

    assert losses(curves) == [1, 2]


def test_an_absent_file_has_no_rows(tmp_path: Path) -> None:
    assert followed(tmp_path / "curve.jsonl").read(is_final=True) == 0


def test_nested_values_and_odd_names_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text(
        '{"val/loss": 1, "test": {"acc@1": 2}, "2nd": 3, "attempt": 4, "is_best": true, "epoch": 0.3}\n'
    )
    curves = followed(path)
    curves.read()

    (row,) = curves.rows
    assert row == {"val_loss": 1.0, "test_acc_1": 2.0, "script_2nd": 3.0, "script_attempt": 4.0, "epoch": 1}
    assert column_name("/") == "value"


@pytest.mark.parametrize(
    ("said", "epochs"),
    [
        ((0, 0, 1, 2), [1, 1, 2, 3]),
        ((1, 2, 3), [1, 2, 3]),
        ((0.0, 0.5, 1.0, 1.01), [1, 1, 1, 2]),
        (("null", "null"), [1, 2]),
    ],
)
def test_epochs_count_from_one_however_a_script_counts(
    tmp_path: Path, said: tuple[object, ...], epochs: list[int]
) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text("".join(f'{{"epoch": {epoch}}}\n' for epoch in said))
    curves = followed(path)
    curves.read()

    assert [row["epoch"] for row in curves.rows] == epochs
    assert curves.epoch == epochs[-1]


def test_a_second_file_goes_on_where_the_first_one_was_left(tmp_path: Path) -> None:
    (tmp_path / "version_0.csv").write_text("epoch,step,loss\n0,10,1\n0,20,2\n1,30,3\n1,40,4\n")
    (tmp_path / "version_1.csv").write_text("epoch,step,loss\n1,35,5\n2,50,6\n")
    curves = followed(tmp_path / "version_0.csv")
    curves.read()

    curves.follow(tmp_path / "version_1.csv")
    curves.read()

    assert losses(curves) == [1, 2, 3, 5, 6]
    assert [row["epoch"] for row in curves.rows] == [1, 1, 2, 2, 3]


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_bytes(b'{"loss": 1}\n' + b"x" * 3_000_000)

    with pytest.raises(Unreadable, match=r"curve\.jsonl:2: expected lines of at most 1048576 bytes"):
        followed(path).read()


def test_very_long_curves_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_module, "MAX_ROWS", 10)
    path = tmp_path / "curve.jsonl"
    path.write_text("".join(f'{{"loss": {number}}}\n' for number in range(100)))
    curves = followed(path)

    assert curves.read() == 100

    assert losses(curves) == list(range(0, 100, 16))
    assert len(curves.notes) == 1


def test_columns_beyond_a_number_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_text(json.dumps({f"c{number}": number for number in range(300)}) + "\n")
    curves = followed(path)
    curves.read()

    assert len(curves.rows[0]) == 201
    assert curves.notes == ["the curves have more than 200 columns; the others are left out"]


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"a\nb", b"a\n"), (b"a\n", b"a\n"), (b"ab", b""), (b"", b""), (b"a\n" + b"x" * 600_000, b"a\n")],
)
def test_a_half_line_is_cut(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "curve.jsonl"
    path.write_bytes(before)

    cut_half_line(path)

    assert path.read_bytes() == after
