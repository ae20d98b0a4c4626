"""Draw a `Face` as a picture: Avataaars by Pablo Stanley, plus our overlays for unseen kinds.

Coordinates in SVG snippets are those of the 280x280 Avataaars canvas, where the head spans
x 74-206 and y 36-180. Pictures are (H, W, 3) uint8.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache, partial
from importlib import resources
from multiprocessing import get_context
from typing import Final

import numpy as np
import numpy.typing as npt
import resvg_py
from dicebear import Avatar, Style
from PIL import Image

from trainables.h_space.domains.avatars.faces import Face

Picture = npt.NDArray[np.uint8]

SIZE: Final = 32
"""Pixels of a picture's side, unless another multiple of it is asked for."""
RENDER_SCALE: Final = 3  # drawn this much larger, then averaged: antialiasing that keeps thin lines
CROP: Final = "56 20 168 168"  # viewBox: the head fills the picture, the mouth is 9 pixels wide

BACKGROUNDS: Final = ("#8fa9c4", "#a9bfa4", "#c9b79c", "#b3a5bd", "#9fb8b8")
SHIRTS: Final = ("#3c4f5c", "#5199e4", "#e6e6e6", "#a7656f")
SKIN_COLOURS: Final = {"pale": "#fbe3cf", "light": "#efbd94", "tanned": "#c17a3c", "dark": "#70432c"}
KIND_SKIN_COLOURS: Final = {"goblin": "#63a83c", "zombie": "#9db09a", "robot": "#a8b3bd", "clown": "#faf6f2"}
HAIR_COLOUR_CODES: Final = {"black": "#26201f", "brown": "#6f3f2c", "blond": "#dcb662", "red": "#c04a1c"}
GREY_HAIR: Final = "#cfd0d2"
CLOWN_HAIRS: Final = ("#ff7a1a", "#3fb950", "#e23fa8")
GLASSES_COLOUR: Final = "#1d2228"

TOPS: Final = {
    "short": ("shortFlat", "shortRound", "theCaesar", "shortWaved"),
    "long": ("straight01", "straightAndStrand", "miaWallace", "straight02", "bob"),
    "curly": ("shortRound", "fro", "theCaesar"),
    "bald": ("",),
}
CLOTHES: Final = "shirtCrewNeck"
BEARDS: Final = ("beardLight", "beardMedium")
ACCESSORIES: Final = ("prescription02", "round")
# emotion -> (mouths, eyes, brows)
EXPRESSIONS: Final = {
    "neutral": (("serious",), ("default",), ("default", "defaultNatural", "flatNatural")),
    "smiling": (("smile", "default"), ("happy", "default"), ("default", "defaultNatural")),
    "sad": (("sad", "concerned"), ("default", "cry"), ("sadConcerned", "sadConcernedNatural")),
    "angry": (("grimace",), ("squint", "default"), ("angry", "angryNatural")),
    "surprised": (("screamOpen",), ("surprised",), ("raisedExcited", "raisedExcitedNatural")),
}
# Mouth, eyes and brows are enlarged about their centres: at 32 pixels they are too small to read.
ENLARGED: Final = (
    ("translate(94 140)", "translate(94 140) translate(46 17) scale(1.4) translate(-46 -17)"),
    ("translate(98 98)", "translate(98 98) translate(42 14) scale(1.2) translate(-42 -14)"),
    ("translate(91.86 82)", "translate(91.86 80) translate(48 12) scale(1.15 1.3) translate(-48 -12)"),
)
MOUTH_TAG: Final = '<use transform="translate(94 140)'
EYES_TAG: Final = '<use transform="translate(98 98)'
HAIR_TAG: Final = '<use transform="translate(8)'
# mouth drawing -> (centre y, half width, half height) of the lips behind it
LIPS: Final = {
    "serious": (157, 21, 8),
    "smile": (160, 31, 18),
    "default": (159, 23, 15),
    "sad": (158, 21, 13),
    "concerned": (159, 29, 16),
    "grimace": (158, 36, 17),
    "screamOpen": (159, 28, 25),
}


def draw(face: Face, size: int = SIZE) -> Picture:
    """The picture of a face, (size, size, 3); `size` is a multiple of SIZE."""
    large = _rasterise(_svg(face), size * RENDER_SCALE)
    if face.style == "sketch":
        return _sketch(large, size // SIZE)
    small = _average(large, RENDER_SCALE)
    return _pixel_art(small, 2 * size // SIZE) if face.style == "pixel_art" else _to_bytes(small)


def draw_faces(faces: Sequence[Face], *, size: int = SIZE, num_processes: int = 1) -> Picture:
    """The pictures of many faces, (N, size, size, 3), in order."""
    draw_one = partial(draw, size=size)
    if num_processes == 1:
        return np.stack([draw_one(face) for face in faces])
    with get_context("spawn").Pool(num_processes) as pool:
        return np.stack(pool.map(draw_one, faces, chunksize=64))


_SHAPES: Final = {
    "mouth": {shape for mouths, _, _ in EXPRESSIONS.values() for shape in mouths},
    "eyes": {shape for _, eyes, _ in EXPRESSIONS.values() for shape in eyes},
    "eyebrows": {shape for _, _, brows in EXPRESSIONS.values() for shape in brows},
    "nose": {"default"},
    "clothes": {CLOTHES},
    "top": {shape for tops in TOPS.values() for shape in tops},
    "facialHair": set(BEARDS),
    "accessories": set(ACCESSORIES),
}
"""What a face may be composed of."""


@cache
def _style() -> Style:
    """Avataaars with the shapes that faces use: dicebear validates every one of a style, at 0.5 s for all of them."""
    file = resources.files("dicebear_styles").joinpath("avataaars.json")
    whole = json.loads(file.read_text(encoding="utf-8"))
    components = {}
    for name, shapes in _SHAPES.items():
        own = whole["components"][name]
        used = {shape: drawn for shape, drawn in own["variants"].items() if shape in shapes}
        components[name] = {**own, "variants": used}
    return Style({**whole, "components": components})


def _svg(face: Face) -> str:
    svg = Avatar(_style(), _options(face)).to_string()
    svg = svg.replace('viewBox="0 0 280 280"', f'viewBox="{CROP}"', 1)
    svg = svg.replace(MOUTH_TAG, _below_mouth(face) + MOUTH_TAG, 1)
    svg = svg.replace(EYES_TAG, _below_eyes(face) + EYES_TAG, 1)
    svg = svg.replace("</g></svg>", _above(face) + "</g></svg>")
    for place, enlarged in ENLARGED:
        svg = svg.replace(f'<use transform="{place}"', f'<use transform="{enlarged}"', 1)
    return svg


def _options(face: Face) -> dict[str, object]:
    """Every Avataaars option, so that nothing is left to dicebear's own random choice."""
    mouth, eyes, brows = _expression(face)
    top = "" if face.kind == "robot" else _choose(TOPS[face.hair], face.top_variant)
    has_beard = face.beard and face.kind != "robot"
    has_glasses = face.glasses and face.kind != "robot"
    options: dict[str, object] = {
        "seed": "fixed",
        "backgroundColor": [_choose(BACKGROUNDS, face.background)],
        "clothesVariant": CLOTHES,
        "clothesColor": [_choose(SHIRTS, face.shirt)],
        "skinColor": [_skin_colour(face)],
        "mouthVariant": mouth,
        "eyesVariant": eyes,
        "eyebrowsVariant": brows,
        "noseVariant": "default",
        "topProbability": 100 if top else 0,
        "topVariant": top or "shortFlat",
        "hairColor": [_hair_colour(face)],
        "facialHairProbability": 100 if has_beard else 0,
        "facialHairVariant": _choose(BEARDS, face.top_variant),
        "facialHairColor": [_hair_colour(face)],
        "accessoriesProbability": 100 if has_glasses else 0,
        "accessoriesVariant": _choose(ACCESSORIES, face.top_variant),
        "accessoriesColor": [GLASSES_COLOUR],
    }
    return options


def _expression(face: Face) -> tuple[str, str, str]:
    mouths, eyes, brows = EXPRESSIONS[face.emotion]
    return (
        _choose(mouths, face.mouth_variant),
        _choose(eyes, face.eyes_variant),
        _choose(brows, face.brows_variant),
    )


def _skin_colour(face: Face) -> str:
    return face.skin_paint or KIND_SKIN_COLOURS.get(face.kind, SKIN_COLOURS[face.skin])


def _hair_colour(face: Face) -> str:
    if face.kind == "clown":
        return _choose(CLOWN_HAIRS, face.top_variant)
    return GREY_HAIR if face.age == "old" else HAIR_COLOUR_CODES[face.hair_colour]


def _choose(values: Sequence[str], variant: int) -> str:
    return values[variant % len(values)]


# --- overlays -------------------------------------------------------------------------------------


def _below_mouth(face: Face) -> str:
    if face.kind == "clown":
        return '<ellipse cx="140" cy="160" rx="50" ry="33" fill="#d81e2c"/>'
    if face.gender == "man" or face.kind == "robot":
        return ""
    y, half_width, half_height = LIPS[_expression(face)[0]]
    blush = "".join(f'<circle cx="{x}" cy="138" r="11" fill="#f0506e" opacity=".35"/>' for x in (97, 183))
    return blush + f'<ellipse cx="140" cy="{y}" rx="{half_width}" ry="{half_height}" fill="#c8324f"/>'


def _below_eyes(face: Face) -> str:
    if face.kind == "goblin":
        return _at_eyes('<ellipse cx="{x}" cy="113" rx="15" ry="11" fill="#f4e04d"/>')
    if face.kind == "zombie":
        return _at_eyes('<ellipse cx="{x}" cy="113" rx="20" ry="18" fill="#4b4a55"/>')
    if face.kind == "clown":
        return _at_eyes('<path d="M{x} 76l17 37-17 37-17-37z" fill="#2f6fe0"/>')
    paint = f'<ellipse cx="{{x}}" cy="113" rx="19" ry="16" fill="{face.eye_paint}"/>'
    wrinkles = _wrinkles() if face.age == "old" and face.kind == "person" else ""
    return wrinkles + (_at_eyes(paint) if face.eye_paint else "")


def _above(face: Face) -> str:
    parts = []
    if face.hair == "curly" and face.kind != "robot":
        parts.append(_curls(_hair_colour(face)))
    if face.gender == "woman" and face.kind != "robot":
        parts.append("".join(f'<circle cx="{x}" cy="142" r="6" fill="#ffd23f"/>' for x in (79, 201)))
    parts.append(KIND_OVERLAYS.get(face.kind, ""))
    return "".join(parts)


def _at_eyes(snippet: str) -> str:
    return "".join(snippet.replace("{x}", str(x)) for x in (114, 166))


def _wrinkles() -> str:
    lines = "M112 62h56M116 71h48M96 142l10 16M184 142l-10 16M98 128l16 2M182 128l-16 2"
    return f'<path d="{lines}" stroke="black" stroke-opacity=".4" stroke-width="4" fill="none"/>'


def _curls(colour: str) -> str:
    """Rings of hair along the hairline, ear to ear, with a lighter centre each."""
    angles = np.linspace(np.pi * 1.08, -np.pi * 0.08, 12)
    places = [(140 + 68 * np.cos(a), 98 - 62 * np.sin(a)) for a in angles]
    curls = []
    for x, y in places:
        centre = f'cx="{x:.0f}" cy="{y:.0f}"'
        curls.append(f'<circle {centre} r="15" fill="{colour}"/><circle {centre} r="6.5" fill="#ffffff50"/>')
    return "".join(curls)


KIND_OVERLAYS: Final = {
    "goblin": (
        '<path d="M88 92L57 62l19 74zM192 92l31-30-19 74z" fill="#63a83c"/>'
        '<path d="M82 98L65 78l12 42zM198 98l17-20-12 42z" fill="#3f7a22"/>'
        '<path d="M116 158l6-22 7 22zM164 158l-6-22-7 22z" fill="#fffbe0"/>'
    ),
    "zombie": (
        '<path d="M150 58l34 20M156 70l8-14M166 76l8-14M176 82l8-14" stroke="#5a1f2b" stroke-width="5"/>'
        '<circle cx="166" cy="113" r="9" fill="#f6f7e8"/>'
        '<path d="M150 164l6 22 8-22z" fill="#8f1322"/>'
    ),
    "robot": (
        '<path d="M140 44V24" stroke="#5b6670" stroke-width="7"/>'
        '<circle cx="140" cy="27" r="8" fill="#ff4d4d"/>'
        '<path d="M74 100h14v36H74zM192 100h14v36h-14z" fill="#5b6670"/>'
        '<path d="M96 94h34v26H96zM150 94h34v26h-34z" fill="#1d2a33"/>'
        '<path d="M103 100h20v14h-20zM157 100h20v14h-20z" fill="#45f3ff"/>'
        '<path d="M108 144h64v28h-64z" fill="#3a444d"/>'
        '<path d="M118 144v28m11-28v28m11-28v28m11-28v28m11-28v28" stroke="#c9d3da" stroke-width="4"/>'
        '<path d="M88 88h104" stroke="#5b6670" stroke-width="5"/>'
    ),
    "clown": '<circle cx="140" cy="134" r="14" fill="#ff2a2a"/>',
}


# --- pixels ---------------------------------------------------------------------------------------


def _rasterise(svg: str, size: int) -> npt.NDArray[np.float32]:
    """(size, size, 3) float32, 0-255."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"), dtype=np.float32)


def _average(pixels: npt.NDArray[np.float32], block: int) -> npt.NDArray[np.float32]:
    """Mean over block x block squares: (H, W, C) -> (H / block, W / block, C)."""
    height, width, channels = pixels.shape
    squares = pixels.reshape(height // block, block, width // block, block, channels)
    return np.asarray(squares.mean((1, 3)), dtype=np.float32)


def _to_bytes(pixels: npt.NDArray[np.float32]) -> Picture:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _pixel_art(small: npt.NDArray[np.float32], block: int) -> Picture:
    """A mosaic of block x block squares in 6 levels a channel, with the contrast of old games."""
    mosaic = _average(small, block)
    vivid = 118 + 1.15 * (mosaic - 118)
    levels = np.clip(np.rint(vivid / 51), 0, 5) * 51
    return _to_bytes(_repeated(levels, block).astype(np.float32))


def _sketch(large: npt.NDArray[np.float32], pencil: int) -> Picture:
    """Lines where brightness changes, `pencil` wide, faint shading, white paper."""
    grey = large @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    down, across = np.gradient(_average(grey[..., None], pencil)[..., 0])
    lines = np.clip(np.hypot(down, across) * 3.0, 0, 215)
    shading = (255 - grey) * 0.16
    paper = np.clip(252 - _repeated(lines, pencil) - shading, 0, 255).astype(np.float32)
    return _to_bytes(_average(paper[..., None].repeat(3, axis=2), RENDER_SCALE))


def _repeated(pixels: npt.NDArray[np.float32], times: int) -> npt.NDArray[np.float32]:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)
