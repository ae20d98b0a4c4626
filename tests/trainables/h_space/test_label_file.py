"""Tables of labels as spreadsheets write them are read, or one message names file and line."""

from pathlib import Path

import pytest

from trainables.h_space.domains.label_file import LabelFileError, read_labels

IMAGES = ("train/007.png", "train/b.png", "test/c.png")


@pytest.mark.parametrize(
    "content",
    [
        b"image_id,skin\n007.png,dark\nb.png,pale\n",
        b"\xef\xbb\xbfimage_id,skin\r\n007.png,dark\r\nb.png,pale\r\n",
        b"image_id;skin\n007.png;dark\nb.png;pale\n",
        b"image_id\tskin\n007.png\tdark\nb.png\tpale\n",
        b"sep=;\nimage_id;skin\n007.png;dark\nb.png;pale\n",
        "image_id,skin\n007.png,dark\nb.png,pale\n".encode("utf-16"),
        b"Image ID,skin,,\n7,dark,,\n\n,,,\nb,pale,,\n",
        b'"image_id","skin"\n"train/007.png","dark"\n"train/b",pale\n',
        b"image_id,skin\r007.png,dark\rb.png,pale\r",
        b"skin,image_id\ndark,train\\007.png\npale,./train/b.png\n",
        b"image_id,skin\n007.png,dark\n007.png,dark\nb.png,pale",
    ],
)
def test_tables_of_spreadsheets_are_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(content)

    table = read_labels(tmp_path / "labels.csv")
    table.check(IMAGES)

    assert table.columns == ("skin",)
    assert table.of("train/007.png") == {"skin": "dark"}
    assert table.of("train/b.png") == {"skin": "pale"}
    assert table.of("test/c.png") == {}


def test_other_encodings_keep_their_letters(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("image_id,Größe\na,groß\n".encode("cp1252"))

    assert read_labels(tmp_path / "labels.csv").of("train/a.png") == {"Größe": "groß"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"labels\.csv:1  expected a column image_id; found nothing"),
        (b"image,skin\na,b\n", r"labels\.csv:1  expected a column image_id; found image, skin"),
        (b"image_id,skin\n", r"labels\.csv has a header but no row"),
        (b"image_id,skin,skin\na,b,c\n", r"labels\.csv:1  column skin is there twice"),
        (b"image_id,skin\na,dark\na,pale\n", r"labels\.csv:3  a has other labels in line 2"),
        (b"image_id,skin\n,dark\n", r"labels\.csv:2  the row has no image_id"),
        (
            b"image_id,skin\na,dark,more\n",
            r"labels\.csv:2  expected 2 cells, one a column; found 'more' beside",
        ),
        (b"PK\x03\x04 ...", r"labels\.csv is a workbook of a spreadsheet"),
        (b"image_id\0,skin\na,b\n", r"labels\.csv is no text: it holds zero bytes"),
    ],
)
def test_what_is_no_table_is_one_message_with_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(content)

    with pytest.raises(LabelFileError, match=message):
        read_labels(tmp_path / "labels.csv")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"labels\.csv cannot be read: No such file"):
        read_labels(tmp_path / "labels.csv")


def test_ids_that_fit_two_images_or_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image_id,skin\na.png,dark\n")
    table = read_labels(tmp_path / "labels.csv")

    with pytest.raises(
        LabelFileError, match=r":2  image_id 'a.png' fits test/a.png and train/a.png; write it in full"
    ):
        table.check(["train/a.png", "test/a.png"])
    with pytest.raises(
        LabelFileError, match=r"none of its 1 ids is one of the images: found 'a.png', expected ids"
    ):
        table.check(["train/b.png"])
    assert "1 of 1 rows of labels.csv are about no picture" in table.unknown(["train/b.png"])
