"""Pictures as people have them: one decoder turns, converts and scales them, or says what is wrong with which file."""

import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from trainables.h_space.domains.decoding import PictureError, decode, inspect, read_pixels
from trainables.h_space.domains.folder import FolderImages
from trainables.h_space.domains.scanning import FolderError, scan

RED, GREY = (200, 40, 30), (128, 128, 128)
Write = Callable[[Path], object]


def halves() -> Image.Image:
    """24 wide, 16 high: red on the left, grey on the right."""
    picture = Image.new("RGB", (24, 16), GREY)
    picture.paste(RED, (0, 0, 12, 16))
    return picture


def turned(path: Path) -> None:
    """As a telephone held upright writes it: turned, with a note of how."""
    exif = Image.Exif()
    exif[0x0112] = 6
    halves().transpose(Image.Transpose.ROTATE_90).save(path, quality=100, subsampling=0, exif=exif)


def transparent(path: Path, mode: str = "RGBA") -> None:
    """Half transparent black over everything."""
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).convert(mode).save(path)


def hidden_colours(path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8080, np.uint16)).save(path)


def palette(path: Path) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([*GREY, *RED])
    picture.putpixel((0, 0), 1)
    picture.save(path, transparency=1)


def cmyk(path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 0, 0, 127)).save(path, quality=100)


def frames(path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), GREY), Image.new("RGB", (4, 4), RED)
    first.save(path, save_all=True, append_images=[second])


def with_profile(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (4, 4), GREY).save(path, icc_profile=profile)


def broken_profile(path: Path) -> None:
    Image.new("RGB", (4, 4), GREY).save(path, icc_profile=b"no profile")


def lab(path: Path) -> None:
    Image.new("LAB", (4, 4), (137, 128, 128)).save(path)


READ: dict[str, tuple[str, Write, tuple[int, int, int]]] = {
    "turned": ("a.jpg", turned, RED),
    "progressive": ("a.jpg", lambda path: halves().save(path, quality=100, progressive=True), RED),
    "transparent": ("a.png", transparent, (127, 127, 127)),
    "transparent_grey": ("a.png", lambda path: transparent(path, "LA"), (127, 127, 127)),
    "hidden_colours": ("a.png", hidden_colours, (255, 255, 255)),
    "sixteen_bits": ("a.png", sixteen_bits, (128, 128, 128)),
    "sixteen_bits_tiff": ("a.tif", sixteen_bits, (128, 128, 128)),
    "palette": ("a.png", palette, (255, 255, 255)),
    "cmyk": ("a.jpg", cmyk, GREY),
    "animated": ("a.gif", frames, GREY),
    "animated_webp": ("a.webp", frames, GREY),
    "black_and_white": ("a.png", lambda path: Image.new("1", (4, 4), 1).save(path), (255, 255, 255)),
    "grey": ("a.jpg", lambda path: Image.new("L", (4, 4), 128).save(path), GREY),
    "profile": ("a.png", with_profile, GREY),
    "broken_profile": ("a.png", broken_profile, GREY),
    "lab": ("a.tif", lab, GREY),
    "another_ending": ("a.PNG", lambda path: halves().save(path, format="JPEG", quality=100), RED),
}


@pytest.mark.parametrize("kind", READ)
def test_every_kind_of_picture_is_read_as_a_person_sees_it(kind: str, tmp_path: Path) -> None:
    name, write, colour = READ[kind]
    write(tmp_path / name)

    picture, facts = decode(tmp_path / name)

    assert picture.mode == "RGB"
    assert np.abs(np.subtract(picture.getpixel((1, 1) if kind != "palette" else (0, 0)), colour)).max() <= 6
    assert picture.size == (facts.width, facts.height)
    assert inspect(tmp_path / name) == facts


def test_what_is_done_to_a_picture_is_said(tmp_path: Path) -> None:
    for name, write in {"a.png": transparent, "b.gif": frames, "c.jpg": turned}.items():
        write(tmp_path / name)

    remarks = {path.name: inspect(path).remarks for path in tmp_path.iterdir()}

    assert remarks == {
        "a.png": ("transparency put over white",),
        "b.gif": ("first frame taken",),
        "c.jpg": (),
    }


def test_a_turned_photograph_is_upright_and_keeps_its_sides(tmp_path: Path) -> None:
    turned(tmp_path / "a.jpg")

    picture, _ = decode(tmp_path / "a.jpg")

    assert picture.size == (24, 16)
    assert np.abs(np.subtract(picture.getpixel((22, 8)), GREY)).max() <= 6


def bomb(path: Path) -> None:
    """A PNG whose header says that it is 60,000 pixels wide and high."""
    Image.new("L", (4, 4)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(content)


def cut(path: Path) -> None:
    halves().resize((240, 160)).save(path)
    path.write_bytes(path.read_bytes()[:-200])


UNREADABLE: dict[str, tuple[str, Write, str]] = {
    "cut": ("a.jpg", cut, "damaged or cut off"),
    "cut_png": ("a.png", cut, "damaged or cut off"),
    "enormous": ("a.png", bomb, "too large to be read|damaged"),
    "empty": ("a.png", lambda path: path.touch(), "it is empty"),
    "text": ("a.png", lambda path: path.write_text("hello"), "of no known kind"),
    "web_page": ("a.jpg", lambda path: path.write_text("<!DOCTYPE html><html>404"), "it is a web page"),
    "svg": ("a.png", lambda path: path.write_text("<svg/>"), "it is an SVG drawing"),
    "lfs": (
        "a.png",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
        "Git LFS pointer",
    ),
    "heic": ("a.heic", lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40), "it is HEIC"),
    "folder": ("a.png", lambda path: path.mkdir(), "is a folder"),
    "link": ("a.png", lambda path: path.symlink_to("away.png"), "is a link to away.png, which is not there"),
    "missing": ("a.png", lambda path: None, "is not there"),
    "numbers": ("a.tif", lambda path: Image.new("F", (4, 4)).save(path), "32-bit numbers"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_named_with_its_reason(kind: str, tmp_path: Path) -> None:
    name, write, reason = UNREADABLE[kind]
    write(tmp_path / name)

    for read in (inspect, decode):
        with pytest.raises(PictureError, match=rf"{name}.*({reason})"):
            read(tmp_path / name)


def test_damaged_bytes_give_a_picture_or_one_message(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for name in ("a.png", "a.gif", "a.tif", "a.webp", "a.bmp"):
        path = tmp_path / name
        halves().save(path)
        content = path.read_bytes()
        for _ in range(40):
            altered = bytearray(content)
            for at in random.integers(len(content), size=4):
                altered[at] = random.integers(256)
            path.write_bytes(altered)
            with suppress(PictureError):  # Anything else would be a traceback.
                assert decode(path)[0].mode == "RGB"


# Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of a picture each."""
    for split, angle in (("train", 0), ("test", 180)):
        (tmp_path / split).mkdir()
        halves().rotate(angle).save(tmp_path / split / "a.png")
    return tmp_path


def test_a_folder_says_what_it_leaves_out_and_why(folder: Path) -> None:
    train = folder / "train"
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "notes.txt", "empty.jpg", "photo.heic"):
        (train / name).write_bytes(b"" if name == "empty.jpg" else b"x")
    (train / "gone.png").symlink_to("away.png")
    (train / "more").mkdir()
    halves().save(train / "more" / "b.png")
    halves().save(train / "B.JPG")

    found = scan(train)

    assert found.names == ("B.JPG", "a.png")
    assert dict(found.left_out) == {
        "hidden": (".DS_Store", "._a.png"),
        "of other kinds": ("Thumbs.db", "notes.txt"),
        "empty (0 bytes)": ("empty.jpg",),
        ".heic files, which cannot be read; save them as JPEG or PNG": ("photo.heic",),
        "links to nothing": ("gone.png",),
        "sub-folders with pictures": ("more",),
    }
    assert scan(train, recursive=True).names == ("B.JPG", "a.png", "more/b.png")
    assert "train: 2 pictures; left out: 1 .heic files" in FolderImages(folder).remarks[0]
    assert "2 hidden (.DS_Store, ._a.png)" in FolderImages(folder).remarks[0]


def test_a_folder_that_links_back_to_itself_is_read_once(folder: Path) -> None:
    (folder / "train" / "again").symlink_to(folder / "train")

    assert scan(folder / "train", recursive=True).names == ("a.png",)


def test_a_folder_of_folders_offers_to_look_into_them(folder: Path) -> None:
    (folder / "train" / "a.png").unlink()
    (folder / "train" / "people").mkdir()
    halves().save(folder / "train" / "people" / "a.png")

    with pytest.raises(FolderError, match="write `recursive: true` under `images:`"):
        FolderImages(folder).count("train")
    assert FolderImages(folder, recursive=True).count("train") == 1


def test_pictures_beside_the_splits_are_told_where_to_go(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")

    with pytest.raises(
        FolderError, match=r"has no train/ folder of images; the 1 pictures in it have to be moved"
    ):
        FolderImages(tmp_path)
    with pytest.raises(FolderError, match="is not a folder; expected one with train/ and test/"):
        FolderImages(tmp_path / "away")


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have such names")
def test_names_that_are_no_text_are_left_out(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "train") + b"/\xff.png")).touch()

    assert "bytes that are not UTF-8" in FolderImages(folder).remarks[0]


def test_a_test_picture_that_is_trained_on_is_named(folder: Path) -> None:
    assert FolderImages(folder).remarks == []
    transparent(folder / "train" / "c.png")
    (folder / "test" / "copy.png").write_bytes((folder / "train" / "c.png").read_bytes())

    (remark,) = FolderImages(folder).remarks

    assert remark.startswith(
        "1 test pictures are training pictures as well, such as test/copy.png (train/c.png)"
    )


def test_bad_pictures_are_counted_and_named_before_training(folder: Path) -> None:
    cut(folder / "train" / "b.jpg")
    transparent(folder / "train" / "c.png")
    images = FolderImages(folder)

    problem = images.looked_at("train", 3).problem

    assert problem is not None
    assert problem.startswith("1 of 3 pictures cannot be read, replace or remove them: ")
    assert "b.jpg" in problem
    assert images.looked_at("train", 1).problem is None
    assert images.looked_at("train", 3).remarks(32, 32) == [
        "2 of 2 pictures: smaller than 32 x 32, enlarged",
        "1 of 2 pictures: transparency put over white",
    ]


@pytest.mark.parametrize("kind", READ)
def test_training_and_edit_see_the_same_pixels(kind: str, folder: Path) -> None:
    from trainables.h_space.edit_session import _read_picture

    name, write, _ = READ[kind]
    (folder / "train" / "a.png").unlink()
    write(folder / "train" / name)
    images = FolderImages(folder)
    images.resize_to((3, 8, 8))

    trained = images.load([f"train/{name}"])
    edited, _ = _read_picture(folder / "train" / name, (3, 8, 8))

    assert trained.equal(edited)


def test_a_grey_model_reads_colours_as_grey(tmp_path: Path) -> None:
    halves().save(tmp_path / "a.png")

    pixels: NDArray[np.uint8]
    pixels, _ = read_pixels(tmp_path / "a.png", (1, 16, 24))

    assert pixels.shape == (16, 24, 1)
    assert pixels[8, 20, 0] == 128
