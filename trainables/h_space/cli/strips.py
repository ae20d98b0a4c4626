"""Pictures made by hand, outside any study: the strip of an edited image, and its way as an animation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from analysis import style
from analysis.figures._tiles import decode

TILE = 192
"""Screen pixels that a picture is at least enlarged to, by whole factors; larger pictures keep their size."""
GAP = 0.03
GROUP_GAP = 0.07
LABELS = 0.2
"""Inches; the height of a line of labels, and the gaps between pictures and, in addition, between groups of them."""
CAPTION_PIXELS = 18
FRAME_MILLISECONDS, LAST_MILLISECONDS = 120, 1500


def save_strip(groups: Sequence[Sequence[tuple[str, bytes]]], title: str, path: Path) -> None:
    """Write a row of labelled PNGs of one size as a picture, its groups a little apart."""
    tiles = [tile for group in groups for tile in group]
    gaps = [number for number, group in enumerate(groups) for _ in group]
    pictures = [decode(png) for _, png in tiles]
    height, width = pictures[0].shape[:2]
    factor = max(1, TILE // width)
    tile_width, tile_height = factor * width / style.DPI, factor * height / style.DPI
    lefts = [
        GAP + place * (tile_width + GAP) + gaps_before * GROUP_GAP for place, gaps_before in enumerate(gaps)
    ]
    size = (lefts[-1] + tile_width + GAP, tile_height + 2 * LABELS + GAP)
    with style.styled():
        figure = style.new_figure(*size, w_pad=None)
        figure.text(GAP / size[0], 1 - LABELS / 2 / size[1], title, va="center", color=style.MUTED)
        for left, picture, (label, _) in zip(lefts, pictures, tiles, strict=True):
            box = (left / size[0], GAP / size[1], tile_width / size[0], tile_height / size[1])
            axes = figure.add_axes(box)
            axes.set_axis_off()
            axes.imshow(picture, interpolation="nearest", aspect="auto")
            middle = (left + tile_width / 2) / size[0]
            figure.text(middle, 1 - 1.5 * LABELS / size[1], label, ha="center", va="center")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=style.DPI)


def save_animation(frames: Sequence[tuple[str, Sequence[bytes]]], path: Path) -> None:
    """Write a GIF of captioned frames, each a row of PNGs of one size; the last stays longest."""
    pictures = [_captioned(caption, pngs) for caption, pngs in frames]
    durations = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_MILLISECONDS]
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def _captioned(caption: str, pngs: Sequence[bytes]) -> Image.Image:
    row = Image.fromarray(np.concatenate([decode(png) for png in pngs], axis=1))
    factor = max(1, TILE // row.height)
    row = row.resize((factor * row.width, factor * row.height), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (row.width, row.height + CAPTION_PIXELS), "white")
    whole.paste(row)
    ImageDraw.Draw(whole).text((4, row.height + 3), caption, fill="black")
    return whole
