"""The samples of a page: what trials made of held-out items, and the coordinates in which they differ."""

import base64
import csv
import hashlib
import io
from collections.abc import Callable, Iterator

import pandas as pd

from analysis.frames import StudyFrames, primary
from analysis.labels import axis_label, references, sample_kinds, value_label
from analysis.page.shape import Content, Coordinate, Sample, SampleKind, Samples

Address = Callable[[str], str]
"""Digest of a sample's bytes -> where a browser finds them."""

MAX_BYTES = 2_000_000
"""Of the samples that are part of a page, all together."""
MAX_TABLE_ROWS = 50
MAX_LETTERS = 20_000
"""Of a text that is shown; the rest is left to the ledger."""
_PICTURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
"""How pictures begin."""
_SHOWN_AS_PICTURES = {*_PICTURES.values(), "image/svg+xml", "image/avif", "image/bmp"}
_DELIMITERS = {"text/csv": ",", "text/tab-separated-values": "\t"}
_NO_COORDINATE = {
    *("cell", "is_baseline", "seed", "signature", "attempt"),
    *("kind", "image_id", "image", "media_type", "content"),
}
_SHOWN_AS_TEXT = {"application/json", "chemical/x-xyz"}


def samples_of(frames: StudyFrames, address: Address | None) -> Samples:
    """The samples of every trial; without an `address`, those that a page has room for, in a fair order."""
    rows = frames.samples[frames.samples["content"].notna()].reset_index(drop=True)
    rows = rows.assign(digest=[digest(content) for content in rows["content"]])
    kinds = _kinds(rows)
    shared = [kind["name"] for kind in kinds if kind["is_shared"]]
    coordinates = list(_coordinates(frames, rows[~rows["kind"].isin(shared)]))
    wanted = _in_order(rows, shared, coordinates)
    chosen = _with_room(wanted) if address is None else wanted
    contents = chosen.drop_duplicates("digest")
    places = {own: index for index, own in enumerate(contents["digest"])}
    trials = {signature: index for index, signature in enumerate(frames.trials["signature"])}
    items = list(dict.fromkeys(map(str, rows["image_id"])))
    kind_places = {kind["name"]: index for index, kind in enumerate(kinds)}
    values = [dict(zip(c["values"], range(len(c["values"])), strict=True)) for c in coordinates]
    samples: list[Sample] = [
        {
            "trial": trials[row["signature"]],
            "kind": kind_places[str(row["kind"])],
            "item": items.index(str(row["image_id"])),
            "at": [own.get(row[c["name"]], -1) for own, c in zip(values, coordinates, strict=True)],
            "content": places[row["digest"]],
        }
        for row in chosen.drop(columns=["image", "content"]).to_dict("records")
    ]
    return {
        "kinds": kinds,
        "items": items,
        "coordinates": coordinates,
        "samples": samples,
        "contents": [
            _content(str(kind), content, own, address)
            for kind, content, own in contents[["media_type", "content", "digest"]].itertuples(index=False)
        ],
        "num_left_out": len(wanted) - len(chosen),
    }


def digest(content: bytes) -> str:
    """The name of a content, equal for equal bytes."""
    return hashlib.sha256(content).hexdigest()[:32]


def media_type(kind: str, content: bytes) -> str:
    """Of a sample: its kind, where that is one, else by its first bytes."""
    if "/" in kind:
        return kind
    found = (name for start, name in _PICTURES.items() if content.startswith(start))
    return next(found, "application/octet-stream")


def _kinds(rows: pd.DataFrame) -> list[SampleKind]:
    """Kinds of samples, first those that trials made; shared are those that are the same for an item in all trials."""
    said = {kind.name: kind for kind in sample_kinds()}
    kinds: list[SampleKind] = []
    for name in dict.fromkeys(rows["kind"]):
        own = rows[rows["kind"] == name]
        is_same = bool((own.groupby("image_id")["digest"].nunique() == 1).all())
        is_shared = is_same and own["signature"].nunique() > 1
        label = said[name].label if name in said else ""
        kinds.append({"name": name, "label": label or value_label(name), "is_shared": is_shared})
    return sorted(kinds, key=lambda kind: kind["name"] in references())


def _coordinates(frames: StudyFrames, rows: pd.DataFrame) -> Iterator[Coordinate]:
    """Columns in which samples of one item by one trial differ, each with a slider.

    It starts where most trials are judged, or else where most samples are of those that trials made. What tells items
    or trials apart, such as an item's true value, is no place between which a reader could move.
    """
    places = rows.groupby(["signature", "kind", "image_id"], dropna=False)
    made = rows[~rows["kind"].isin(references())]
    for name in rows.columns:
        if name in _NO_COORDINATE or name.startswith("axis_") or name == "digest":
            continue
        counts = rows[name].dropna().value_counts().sort_index()
        if len(counts) < 2 or places[name].nunique().max() < 2:
            continue
        values = [value.item() if hasattr(value, "item") else value for value in counts.index]
        judged = frames.trials[primary(name)] if primary(name) in frames.trials else pd.Series(dtype=float)
        most = next((at[at.isin(values)] for at in (judged, made[name]) if at.isin(values).any()), rows[name])
        yield {
            "name": str(name),
            "label": axis_label(str(name)),
            "values": values,
            "labels": [value_label(value) for value in values],
            "start": values.index(most.value_counts().sort_index(ascending=False).idxmax()),
        }


def _in_order(rows: pd.DataFrame, shared: list[str], coordinates: list[Coordinate]) -> pd.DataFrame:
    """Rows by what a reader needs first: what all share, then the first seed of every cell where sliders start."""
    once = rows[rows["kind"].isin(shared)].drop_duplicates(["kind", "image_id"])
    own = rows[~rows["kind"].isin(shared)]
    seed = own.groupby("cell", observed=True)["seed"].rank(method="dense")
    away = sum(
        (own[c["name"]] != c["values"][c["start"]] for c in coordinates), pd.Series(0, index=own.index)
    )
    order = own.assign(_seed=seed, _away=away).sort_values(["_seed", "_away"], kind="stable").index
    return pd.concat([once, own.loc[order]])


def _with_room(rows: pd.DataFrame) -> pd.DataFrame:
    """The first rows whose different contents fit into a page."""
    sizes = rows["content"].map(len).where(~rows["digest"].duplicated(), 0)
    return rows[sizes.cumsum() <= MAX_BYTES]


def _content(kind: str, content: bytes, own: str, address: Address | None) -> Content:
    media = media_type(kind, content)
    if media in _DELIMITERS:
        table = csv.reader(io.StringIO(_text(content), newline=""), delimiter=_DELIMITERS[media])
        return {
            "media": "table",
            "table": [row for row, _ in zip(table, range(MAX_TABLE_ROWS + 1), strict=False)],
        }
    if media.startswith("text/") or media in _SHOWN_AS_TEXT:
        return {"media": "text", "text": _text(content)}
    if media in _SHOWN_AS_PICTURES:
        return {"media": "picture", "source": _source(media, content, own, address)}
    # A file of unknown kind is only ever saved, never opened: its own type would let it act in the page's name.
    source = _source("application/octet-stream", content, own, address)
    return {"media": "file", "source": source, "name": f"{own[:8]}.bin"}


def _text(content: bytes) -> str:
    text = content.decode("utf-8", errors="replace")
    return text if len(text) <= MAX_LETTERS else f"{text[:MAX_LETTERS]} ..."


def _source(media: str, content: bytes, own: str, address: Address | None) -> str:
    if address is not None:
        return address(own)
    return f"data:{media};base64,{base64.b64encode(content).decode()}"
