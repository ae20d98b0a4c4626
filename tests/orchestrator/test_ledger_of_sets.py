"""Rows about whole sets of images in the ledger, beside those of parts written before there were any."""

import json

import pyarrow as pa

from orchestrator.ledger.schemas import TABLES, concatenated, to_arrow

IMAGE = {
    "signature": "a",
    "attempt": 1,
    "epoch": 1,
    "image_id": "face-1",
    "strength": 1.0,
    "num_sample_steps": 4,
}
NEW_COLUMNS = ("t_boost", "attribute_shifts", "num_images", "feature_extractor", "image_set")


def test_a_set_s_row_and_an_image_s_row_share_a_table() -> None:
    whole = {
        **IMAGE,
        "image_id": None,
        "fid": 0.5,
        "num_images": 3,
        "feature_extractor": "CLIP",
        "image_set": "x",
    }
    image = {**IMAGE, "s_dir": 0.1, "t_boost": 100, "attribute_shifts": {"sad": 0.25}}

    found = to_arrow("evaluations", [image, whole]).to_pylist()

    assert (found[0]["t_boost"], json.loads(found[0]["attribute_shifts"]), found[0]["fid"]) == (
        100,
        {"sad": 0.25},
        None,
    )
    assert (found[1]["image_id"], found[1]["fid"], found[1]["num_images"]) == (None, 0.5, 3)
    assert (found[1]["feature_extractor"], found[1]["image_set"]) == ("CLIP", "x")


def test_parts_of_before_these_columns_still_read() -> None:
    old_schema = pa.schema([field for field in TABLES["evaluations"] if field.name not in NEW_COLUMNS])
    old = pa.Table.from_pylist([IMAGE], schema=old_schema)

    table = concatenated("evaluations", [old, to_arrow("evaluations", [{**IMAGE, "num_images": 3}])])

    assert [row["num_images"] for row in table.to_pylist()] == [None, 3]
    assert table.schema.field("image_set").type == pa.string()
