"""Pictures in rows: what pyarrow and Hugging Face's `datasets` write is read, and mistakes name file and row."""

import io
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from random_domains import write_domain, write_pixel_model

from trainables.errors import UserError
from trainables.h_space.attributes import Attribute
from trainables.h_space.domains import DomainError, domain_summary
from trainables.h_space.domains.decoding import PictureError
from trainables.h_space.domains.scanning import FolderError
from trainables.h_space.domains.tables import TableImages

COUNTS = {"train": 10, "test": 3}


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (20 * number, 0, 255)).save(file, "PNG")
    return file.getvalue()


def rows(split: str) -> dict[str, list[object]]:
    numbers = range(COUNTS[split]) if split == "train" else range(10, 10 + COUNTS[split])
    return {
        "image": [{"bytes": picture(number), "path": f"{number}.png"} for number in numbers],
        "smile": [number % 2 for number in numbers],
        "glasses": [number % 3 == 0 for number in numbers],
        "hair": [None if number == 0 else "red" for number in numbers],
        "box": [[number, number] for number in numbers],
    }


def write_parquet(folder: Path, split: str, *, group: int = 4, **other: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}-00000-of-00001.parquet"
    pq.write_table(pa.table({**rows(split), **other}), path, row_group_size=group)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for split in COUNTS:
        write_parquet(tmp_path / "faces", split)
    return tmp_path / "faces"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as Hugging Face's library writes them: `saved`, by `save_to_disk`, and `hub`, as on the hub."""
    datasets.disable_progress_bars()
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "smile": datasets.ClassLabel(names=["no", "yes"]),
            "glasses": datasets.Value("bool"),
            "hair": datasets.Value("string"),
            "box": datasets.List(datasets.Value("int64")),
        }
    )
    splits = {split: datasets.Dataset.from_dict(rows(split), features) for split in COUNTS}
    folder = tmp_path_factory.mktemp("written")
    datasets.DatasetDict(splits).save_to_disk(folder / "saved", num_shards={"train": 3, "test": 1})
    splits["train"].save_to_disk(folder / "one")
    (folder / "hub" / "data").mkdir(parents=True)
    for split, rows_of_split in splits.items():
        rows_of_split.to_parquet(folder / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def test_a_saved_dataset_and_one_of_the_hub_are_the_same_pictures(written: Path) -> None:
    saved, hub = TableImages(written / "saved"), TableImages(written / "hub")

    assert saved.fingerprint == hub.fingerprint
    for images in (saved, hub):
        images.resize_to((3, 8, 8))
        assert [images.count(split) for split in ("train", "validation", "test")] == [10, 2, 3]
        assert images.load(["train/9", "train/0", "test/2"])[:, 0, 0, 0].tolist() == pytest.approx(
            [value / 127.5 - 1 for value in (180, 0, 240)]
        )
        assert images.label_names == ("smile", "glasses", "hair")
        assert images.labels("train/0") == {"smile": "no", "glasses": "yes", "hair": ""}
        assert images.shows("train/1", Attribute("smiling", "a", "b", "in", {"smile": True}))
        assert images.remarks == []


def test_rows_count_by_their_content_alone(table: Path) -> None:
    before = TableImages(table).fingerprint

    write_parquet(table, "train", group=10)
    assert TableImages(table).fingerprint == before
    write_parquet(table, "train", hair=["blue"] * 10)
    assert TableImages(table).fingerprint != before


def test_binary_columns_are_pictures_and_one_of_several_is_chosen(table: Path) -> None:
    for split, count in COUNTS.items():
        write_parquet(table, split, mask=[picture(number) for number in range(count)])

    with pytest.raises(FolderError, match="has several columns of pictures: name image or mask as `column`"):
        TableImages(table)
    with pytest.raises(
        FolderError, match=r"images.column: expected a column of .*; found 'imag'; did you mean image"
    ):
        TableImages(table, "imag")
    images = TableImages(table, "mask")
    images.resize_to((3, 8, 8))
    assert images.load(["test/2"]).shape == (1, 3, 8, 8)


def test_a_row_that_is_no_picture_is_named(table: Path) -> None:
    cells: list[object] = [{"bytes": picture(number), "path": None} for number in range(10)]
    cells[5:7] = [{"bytes": b"<html>", "path": None}, {"bytes": None, "path": "a.png"}]
    path = write_parquet(table, "train", image=cells)

    problem = TableImages(table).looked_at("train", None).problem

    assert problem is not None
    assert f"{path} row 5 cannot be read as a picture: it is a web page" in problem
    assert f"{path} row 6 has no picture; found the path 'a.png' alone" in problem
    with pytest.raises(PictureError, match="row 6 has no picture"):
        _ = TableImages(table).fingerprint


def test_test_rows_that_are_trained_on_are_named(table: Path) -> None:
    write_parquet(table, "test", image=[{"bytes": picture(number), "path": None} for number in (10, 11, 3)])

    (remark,) = TableImages(table).remarks

    assert remark.startswith("1 test pictures are training pictures as well, such as test/2 (train/3)")


def test_what_is_no_table_of_pictures_is_one_message(table: Path, written: Path, tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            _ = TableImages(folder).fingerprint

    refused(written / "one", "is a dataset without splits: save it with two")
    refused(tmp_path / "away", "away is not a folder")
    refused(tmp_path, r"has no train rows: expected train-\*.parquet there or in data/, .*; found faces")
    path = write_parquet(tmp_path / "texts", "train", image=["a.png"] * 10)
    write_parquet(tmp_path / "texts", "test")
    refused(
        tmp_path / "texts", r"has no column of picture files: .*; found image \(string\), smile \(int64\)"
    )
    write_parquet(tmp_path / "texts", "train")
    pq.write_table(
        pa.table({"image": rows("test")["image"]}), tmp_path / "texts" / "test-00000-of-00001.parquet"
    )
    refused(tmp_path / "texts", r"test-.*parquet has no column glasses, which .*train")
    path.write_bytes(path.read_bytes()[:100])
    refused(tmp_path / "texts", "cannot be read as Parquet .*it may be cut off")


def test_a_domain_of_rows_is_planned_as_one_of_files(table: Path, tmp_path: Path) -> None:
    write_pixel_model(tmp_path)
    path = Path(write_domain(tmp_path))
    path.write_text(path.read_text().replace("{kind: avatars}", "{kind: table, folder: faces}"))

    summary = domain_summary(str(path))

    assert summary.num_images == {"train": 10, "validation": 2, "test": 3}
    assert summary.label_names == ("smile", "glasses", "hair")
    path.write_text(path.read_text().replace(", folder: faces", ""))
    domain_summary.cache_clear()
    with pytest.raises(DomainError, match="images of kind table need `folder`"):
        domain_summary(str(path))
