"""Samples of any kind: what a page is told of pictures, texts, tables and files, and what it leaves out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.frames import StudyFrames, load_frames
from analysis.page import samples
from analysis.page.samples import digest, media_type, samples_of

Study = Callable[..., Path]


@pytest.fixture
def frames(make_study: Study) -> StudyFrames:
    """Two cells and two seeds."""
    return load_frames(
        make_study(effects={"a": 0.5, "b": 0.4}, num_seeds=2, epochs=1, batches=2, num_images=1)
    )


def with_samples(frames: StudyFrames, kind: str, contents: list[bytes]) -> StudyFrames:
    """The study as if every trial had left one file for the item `item`, as a command does."""
    trials = frames.trials[["cell", "is_baseline", "seed", "signature"]]
    media = [media_type(kind, content) for content in contents]
    own = {"kind": kind, "image_id": "item", "epoch": 1, "strength": None, "num_sample_steps": None}
    return replace(
        frames, samples=trials.assign(**own, media_type=media, content=contents, image=None, attempt=1)
    )


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("text/plain", b"<b>loss</b> is 0.5", {"media": "text", "text": "<b>loss</b> is 0.5"}),
        ("text/csv", b'a,"b,c"\n1,2\n', {"media": "table", "table": [["a", "b,c"], ["1", "2"]]}),
        ("image/svg+xml", b"<svg/>", {"media": "picture", "source": "data:image/svg+xml;base64,PHN2Zy8+"}),
        ("edit", b"\x89PNG", {"media": "picture", "source": "data:image/png;base64,iVBORw=="}),
    ],
)
def test_a_sample_is_shown_by_what_it_is(
    frames: StudyFrames, kind: str, content: bytes, expected: dict[str, object]
) -> None:
    found = samples_of(with_samples(frames, kind, [content] * 4), None)

    assert found["contents"] == [expected]
    assert found["kinds"] == [{"name": kind, "label": kind, "is_shared": True}]
    assert len(found["samples"]) == 1  # what all trials share is shown once


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/x-hdf", "audio/wav"])
def test_a_file_of_unknown_kind_can_be_saved_and_never_acts_as_a_page(frames: StudyFrames, kind: str) -> None:
    contents = [b"one", b"two", b"three", b"four"]

    found = samples_of(with_samples(frames, kind, contents), None)

    assert not found["kinds"][0]["is_shared"]
    assert len(found["contents"]) == 4
    for content in found["contents"]:
        assert content["media"] == "text" or content["source"].startswith("data:application/octet-stream;")


def test_long_texts_and_tables_are_cut(frames: StudyFrames) -> None:
    text = samples_of(with_samples(frames, "text/plain", [b"x" * 50_000] * 4), None)["contents"][0]["text"]
    table = samples_of(with_samples(frames, "text/csv", [b"1\n" * 500] * 4), None)["contents"][0]["table"]

    assert text == "x" * samples.MAX_LETTERS + " ..."
    assert len(table) == samples.MAX_TABLE_ROWS + 1


def test_a_page_without_room_keeps_the_first_seed_of_every_cell(
    frames: StudyFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MAX_BYTES", 10)
    given = with_samples(frames, "image/png", [b"first", b"other", b"third", b"fourt"])

    found = samples_of(given, None)

    assert [frames.trials["seed"][sample["trial"]] for sample in found["samples"]] == [0, 0]
    assert len({frames.trials["cell"][sample["trial"]] for sample in found["samples"]}) == 2
    assert found["num_left_out"] == 2


def test_a_server_gives_addresses_and_leaves_nothing_out(frames: StudyFrames) -> None:
    given = with_samples(frames, "image/png", [b"1", b"2", b"3", b"4"])

    found = samples_of(given, lambda name: f"/sample/{name}")

    assert [content["source"] for content in found["contents"]] == [
        f"/sample/{digest(content)}" for content in pd.Series([b"1", b"3", b"2", b"4"])
    ]
    assert found["num_left_out"] == 0


def test_what_tells_items_apart_is_no_slider_and_what_tells_samples_of_one_apart_is(
    frames: StudyFrames,
) -> None:
    given = with_samples(frames, "image/png", [b"1", b"2", b"3", b"4"])
    earlier = given.samples.assign(epoch=0)
    both = pd.concat([given.samples.assign(truth=[1.0, 2.0, 3.0, 4.0]), earlier.assign(truth=5.0)])
    ends = given.samples.assign(truth=[1.0, 2.0, 3.0, 4.0], epoch=[1, 2, 3, 4])

    moved = samples_of(replace(given, samples=both), None)["coordinates"]
    fixed = samples_of(replace(given, samples=ends), None)

    assert [one["name"] for one in moved] == ["epoch", "truth"]
    assert fixed["coordinates"] == []
    assert [sample["at"] for sample in fixed["samples"]] == [[], [], [], []]


def test_what_trials_made_is_shown_first_and_where_they_are_judged(frames: StudyFrames) -> None:
    trials = frames.trials.assign(primary_strength=0.5)
    given = with_samples(frames, "edit", [b"1", b"2", b"3", b"4"]).samples
    edits = [
        given.assign(strength=at, content=given["content"] + bytes([i])) for i, at in enumerate((0.5, 1.0))
    ]
    true_edits = given.assign(kind="counterfactual", strength=0.0, content=[b"a", b"b", b"c", b"d"])
    mixed = replace(frames, trials=trials, samples=pd.concat([true_edits, *edits, edits[1].assign(epoch=0)]))

    found = samples_of(mixed, None)

    assert [kind["name"] for kind in found["kinds"]] == ["edit", "counterfactual"]
    [strength] = [one for one in found["coordinates"] if one["name"] == "strength"]
    assert strength["values"][strength["start"]] == 0.5
