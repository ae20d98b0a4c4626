"""Which part of an avatar each pixel shows: the picture drawn once more, every part in a flat colour of its own.

Legend: H x W pixels, 32 x 32 unless another size is asked for; a mask holds indices into `PARTS`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from trainables.h_space.domains.avatars import drawing
from trainables.h_space.domains.avatars.faces import Face

Mask = npt.NDArray[np.int64]

PARTS: Final = ("background", "skin", "hair", "eyes", "mouth", "clothes", "glasses")
"""`hair` is hair and beard, `eyes` eyes, eyebrows and what is painted over them, `mouth` lips and teeth."""
_CODES: Final = ("#000000", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff")
"""The flat colour of each part: corners of the colour cube, told apart by their three bits."""

# First word of a group's id in Avataaars -> part. The nose is a shadow on the skin.
_GROUPS: Final = {
    "clothes": "clothes",
    "mouth": "mouth",
    "nose": None,
    "eyes": "eyes",
    "eyebrows": "eyes",
    "top": "hair",
    "facialHair": "hair",
    "accessories": "glasses",
}
_SOLID: Final = ("mouth", "eyes")
"""Parts drawn in translucent black, which anywhere else is a shadow and shows no part."""

# Colour of an overlay of `drawing` -> part. Any other (blush, earrings, wrinkles, scars) belongs to what is below.
_OVERLAYS: Final = {
    "#c8324f": "mouth",
    "#d81e2c": "mouth",
    "#fffbe0": "mouth",
    "#8f1322": "mouth",
    "#3a444d": "mouth",
    "#c9d3da": "mouth",
    "#f4e04d": "eyes",
    "#4b4a55": "eyes",
    "#f6f7e8": "eyes",
    "#2f6fe0": "eyes",
    "#1d2a33": "eyes",
    "#45f3ff": "eyes",
    "#3f7a22": "skin",
    "#5b6670": "skin",
    "#ff4d4d": "skin",
}


def draw_mask(face: Face, size: int = drawing.SIZE) -> Mask:
    """The parts of a face, (size, size). A pixel is the part that most of its 3 x 3 samples show."""
    root = ET.fromstring(drawing._svg(face))
    root.set("shape-rendering", "crispEdges")  # no blends of two colours, which could be a third's
    _flatten(root, _colours(face))
    large = drawing._rasterise(ET.tostring(root, encoding="unicode"), size * drawing.RENDER_SCALE)
    return _majority(_decoded(large), drawing.RENDER_SCALE)


def draw_masks(faces: Sequence[Face], size: int = drawing.SIZE) -> Mask:
    """The parts of many faces, (N, size, size)."""
    return np.stack([draw_mask(face, size) for face in faces])


def _colours(face: Face) -> Mapping[str, str]:
    """Colour of an element outside any group -> part. The last of equal colours wins, as kinds' overlays must."""
    return {
        drawing._hair_colour(face): "hair",
        drawing._choose(drawing.BACKGROUNDS, face.background): "background",
        drawing._skin_colour(face): "skin",
        **_OVERLAYS,
    }


def _flatten(element: ET.Element, colours: Mapping[str, str], group: str = "") -> None:
    """Give every shape below `element` the colour of its part, in place; hide what shows none."""
    for child in element:
        name = child.get("id", "").partition("-")[0]
        inside = name if name in _GROUPS else group
        for paint in ("fill", "stroke"):
            if child.get(paint) not in (None, "none"):
                part = _GROUPS[inside] if inside else colours.get(str(child.get(paint)))
                is_hidden = part is None or (part not in _SOLID and _is_translucent(child))
                child.set(paint, "none" if is_hidden else _CODES[PARTS.index(str(part))])
        for attribute in ("fill-opacity", "stroke-opacity", "opacity"):
            child.attrib.pop(attribute, None)
        _flatten(child, colours, inside)


def _is_translucent(element: ET.Element) -> bool:
    return any(float(element.get(name, "1")) < 1 for name in ("fill-opacity", "stroke-opacity", "opacity"))


def _decoded(pixels: npt.NDArray[np.float32]) -> Mask:
    """(H, W, 3) flat colours to parts (H, W)."""
    codes = [[int(code[i : i + 2], 16) > 127 for i in (1, 3, 5)] for code in _CODES]
    table = np.zeros(8, dtype=np.int64)
    for part, bits in enumerate(codes):
        table[np.dot(bits, (4, 2, 1))] = part
    return np.asarray(table[(pixels > 127) @ np.array((4, 2, 1))])


def _majority(parts: Mask, block: int) -> Mask:
    """The commonest part of each block x block square; of equally common ones the first of `PARTS`."""
    height, width = parts.shape
    squares = parts.reshape(height // block, block, width // block, block)
    votes = np.stack([(squares == part).sum((1, 3)) for part in range(len(PARTS))])
    return np.asarray(votes.argmax(0))
