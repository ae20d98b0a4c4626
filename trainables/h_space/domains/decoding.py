"""The one way from a picture file, or one in a table, to pixels: training, evaluation and `edit` read pictures here.

| a file with          | is read as                                                                   |
| -------------------- | ---------------------------------------------------------------------------- |
| EXIF orientation     | turned upright                                                               |
| transparency         | over white                                                                   |
| 16 bits              | scaled to 8; 65535 is white                                                  |
| a colour profile     | converted to sRGB; a profile that cannot be used is ignored                  |
| CMYK, palette, Lab.. | converted to sRGB                                                            |
| several frames       | its first frame                                                              |
| 32-bit numbers       | refused: nothing in the file says which number is white                      |
| too many pixels      | refused, from Pillow's limit of 179 million on                               |
"""

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from trainables.errors import UserError

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM")
_TRANSPARENT_MODES: Final = ("RGBA", "LA", "PA", "RGBa", "La")
_LAST_BYTES: Final = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}
"""What a whole file of these formats ends with, give or take what cameras and editors append."""
_TAIL: Final = 64
_KNOWN_STARTS: Final = (
    (b"<svg", "an SVG drawing; export it as PNG"),
    (b"<!doctype html", "a web page, not a picture; download the picture itself"),
    (b"<html", "a web page, not a picture; download the picture itself"),
    (b"%pdf", "a PDF; export it as PNG"),
    (b"%!ps", "PostScript; export it as PNG"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the picture with `git lfs pull`"),
)

_FORMAT_STARTS: Final = (
    *((b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF")),
    *((b"\x89PNG", "PNG"), (b"\xff\xd8", "JPEG"), (b"GIF8", "GIF"), (b"RIFF", "WebP"), (b"BM", "BMP")),
)


@dataclass(frozen=True)
class PictureCell:
    """A picture whose file is a cell of a table."""

    place: str
    """File and row, for messages."""
    content: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.place

    def open(self, mode: Literal["rb"]) -> BytesIO:
        """The file, as `Path.open` gives one."""
        return BytesIO(self.content)


PictureSource = Path | PictureCell


class PictureError(UserError):
    """A file that cannot be read as a picture; the message names it, says what was found and what to do."""


@dataclass(frozen=True)
class PictureFacts:
    """What a picture file's header tells."""

    width: int
    """Width of the upright picture."""
    height: int
    has_alpha: bool
    has_frames: bool
    """Whether there are more frames than the first, which is the one that is read."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is done to the picture besides converting its colours."""
        return (
            *(("transparency put over white",) if self.has_alpha else ()),
            *(("first frame taken",) if self.has_frames else ()),
        )


def inspect(path: PictureSource) -> PictureFacts:
    """Read a picture's header, and all of it where its end looks cut off.

    Raises PictureError for a file that `decode` cannot read, as far as that shows.
    """
    with _opened(path) as file:
        _refuse_unscaled(file, path)
        facts = _facts(file)
        if _looks_cut_off(file, path):
            file.load()
        return facts


def decode(path: PictureSource, num_channels: int = 3) -> tuple[Image.Image, PictureFacts]:
    """The upright picture in 8-bit sRGB (3 channels) or grey (1), and what its header told.

    Raises PictureError for a file that is missing, damaged, too large or no picture.
    """
    with _opened(path) as file:
        _refuse_unscaled(file, path)
        facts = _facts(file)
        file.load()
        picture = _over_white(_eight_bits(_upright(file)))
    return picture.convert("L" if num_channels == 1 else "RGB"), facts


@contextmanager
def _opened(path: PictureSource) -> Iterator[Image.Image]:
    """The file as Pillow opens it; whatever goes wrong while it is used is a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata and large pictures that are read all the same
            opened = BytesIO(path.content) if isinstance(path, PictureCell) else path
            with Image.open(opened, formats=_formats()) as file:
                yield file
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{path} cannot be read as a picture: {_what_it_is(path)}") from error
    except Image.DecompressionBombError as error:
        too_large = str(error).partition(", could be")[0]
        raise PictureError(f"{path} is too large to be read: {too_large}. Make it smaller.") from error
    except OSError as error:
        raise PictureError(f"{path} {_os_reason(path, error)}") from error
    except Exception as error:  # Pillow's parsers raise whatever damaged bytes make them stumble over
        raise PictureError(
            f"{path} cannot be read as a picture: it is damaged ({type(error).__name__}: {error})"
        ) from error


@cache
def _formats() -> tuple[str, ...]:
    """The formats that are read, of those this Pillow has. Others, such as EPS, would start other programs."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _os_reason(path: PictureSource, error: OSError) -> str:
    if isinstance(path, PictureCell):
        return f"cannot be read as a picture: it is damaged or cut off ({error})"
    if isinstance(error, FileNotFoundError):
        return f"is a link to {path.readlink()}, which is not there" if path.is_symlink() else "is not there"
    if path.is_dir():
        return "is a folder, not a picture"
    if error.errno is not None:
        return f"cannot be read: {error.strerror}"
    return f"cannot be read as a picture: it is damaged or cut off ({error}). Copy or download it again."


def _what_it_is(path: PictureSource) -> str:
    """What a file that Pillow does not know is, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "it is empty (0 bytes)"
    if start[4:8] == b"ftyp":
        return "it is HEIC, AVIF or a film that this Pillow cannot decode; save it as JPEG or PNG"
    text = start.lower()
    for mark, what in _KNOWN_STARTS:
        if mark in text:
            return f"it is {what}"
    kind = next((kind for mark, kind in _FORMAT_STARTS if start.startswith(mark)), None)
    if kind is not None:
        return f"it begins like {kind}, but is damaged or of a rare sort; save it again, as PNG or JPEG"
    return f"it is of no known kind (known: {', '.join(_formats())}), or its first bytes are damaged"


def _refuse_unscaled(file: Image.Image, path: PictureSource) -> None:
    if file.mode == "F" or (file.mode == "I" and not _is_16_bit(file)):
        raise PictureError(
            f"{path} holds 32-bit numbers ({file.format}, mode {file.mode}), and nothing says which of them is white; "
            "save it with 8 or 16 bits"
        )


def _is_16_bit(file: Image.Image) -> bool:
    """Whether the numbers are 0 to 65535; older Pillows and PGM give them as 32-bit ones."""
    return file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM"))


def _facts(file: Image.Image) -> PictureFacts:
    width, height = file.size
    # Pillow's own method for PNG would decode the whole picture, in case the orientation comes after it.
    if _orientation(Image.Image.getexif, file) >= 5:  # those that swap the sides
        width, height = height, width
    return PictureFacts(
        width,
        height,
        has_alpha=file.mode in _TRANSPARENT_MODES or "transparency" in file.info,
        # In an MPO the other frames are previews and depth that a camera adds to a photograph.
        has_frames=file.format != "MPO" and bool(getattr(file, "is_animated", False)),
    )


def _orientation(getexif: Callable[[Image.Image], Image.Exif], file: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where the file has none or damaged EXIF data."""
    try:
        found = getexif(file).get(0x0112, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, OSError):
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(file: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(file) if _orientation(type(file).getexif, file) != 1 else file


def _looks_cut_off(file: Image.Image, path: PictureSource) -> bool:
    mark = _LAST_BYTES.get(file.format or "")
    if mark is None:
        return False
    with path.open("rb") as raw:
        raw.seek(max(0, raw.seek(0, SEEK_END) - _TAIL))
        return mark not in raw.read()


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, the value that means transparent as an alpha channel."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.uint32)
    grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    grey.info = {name: value for name, value in picture.info.items() if name != "transparency"}
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _over_white(picture: Image.Image) -> Image.Image:
    """In sRGB, without transparency."""
    if picture.mode not in _TRANSPARENT_MODES and "transparency" not in picture.info:
        return _in_srgb(picture, picture.info.get("icc_profile"))
    with_alpha = picture.convert("LA" if picture.mode in ("La", "LA") else "RGBA")
    colours = _in_srgb(
        with_alpha.convert("L" if with_alpha.mode == "LA" else "RGB"), picture.info.get("icc_profile")
    )
    white = Image.new("RGB", picture.size, "white")
    white.paste(colours, mask=with_alpha.getchannel("A"))
    return white


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """An opaque picture as RGB, by the profile where there is one that fits."""
    if picture.mode not in ("RGB", "L", "CMYK", "LAB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    transform = _to_srgb(profile or b"", picture.mode)
    if transform is not None:
        return ImageCms.applyTransform(picture, transform) or picture
    return picture.convert("RGB")


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colours to sRGB; None where there is nothing to do, or the profile does not fit."""
    if not profile and mode != "LAB":
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
        if mode == "RGB" and _is_srgb(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _to_srgb(b"", mode) if profile else None


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    name = ImageCms.getProfileDescription(profile).lower()
    return "srgb" in name and "linear" not in name


# To the model's size


def read_pixels(
    path: PictureSource, image_shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], PictureFacts]:
    """A picture file as (H, W, C) bytes of this (C, H, W), and what its header told. Raises PictureError."""
    channels, height, width = image_shape
    picture, facts = decode(path, channels)
    pixels = np.array(
        fitted(picture, (height, width)), dtype=np.uint8
    )  # a copy: torch may not share what PIL keeps
    return pixels.reshape(height, width, channels), facts


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at this height and width: the largest centred part of that shape resized (bicubic).

    Untouched where it has that size.
    """
    from torchvision.transforms.v2 import functional as transform

    if picture.size[::-1] == size:
        return picture
    part: Image.Image = transform.center_crop(picture, list(kept_part(picture.height, picture.width, size)))
    return part.resize(size[::-1], Image.Resampling.BICUBIC)


def kept_part(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the largest part of a picture that has the shape of `size` (height, width)."""
    wanted_height, wanted_width = size
    if width * wanted_height > height * wanted_width:
        return height, max(1, round(height * wanted_width / wanted_height))
    return max(1, round(width * wanted_height / wanted_width)), width
