"""What the file names of the editors released with kwonminki/Asyrp_official say.

    dog_happy_LC_dog_t999_ninv40_ngen40_0.pth

is the edit `dog_happy`, trained on the images `dog`. The weights themselves do not name their texts.
"""

import re
from dataclasses import dataclass

from trainables.h_space.attributes import ATTRIBUTES, Attribute

_FILE_NAME = re.compile(r"(?P<edit>.+?)_LC_(?P<images>.+)_t\d+_ninv\d+_ngen\d+_\d+\.pth")
FACES = "CelebA_HQ"
"""The images whose edits are in the table of attributes."""

_TEXTS = {
    "dog_angry": ("Dog", "Angry Dog"),
    "dog_happy": ("Dog", "Happy Dog"),
    "dog_sleepy": ("Dog", "Sleepy Dog"),
    "dog_wolf": ("Dog", "Wolf"),
    "dog_yorkshire": ("Dog", "Yorkshire Terrier"),
    "church_department_store": ("church", "department store"),
    "church_factory": ("church", "factory with chimneys"),
    "church_gothic": ("Church", "Gothic Church"),
    "church_red_brick": ("Church", "Red brick wall Church"),
    "church_temple": ("Church", "Temple"),
    "church_wooden_church": ("Church", "Wooden Church"),
    "bedroom_hotel": ("Bedroom", "Hotel Bedroom"),
    "bedroom_princess": ("Bedroom", "Princess Bedroom"),
    "metface_angry": ("painting of a person", "painting of a Angry person"),
    "metface_disgusted": ("painting of a person", "painting of a Disgusted person"),
    "metface_sad": ("painting of a person", "painting of a Sad person"),
    "metface_smiling": ("painting of a person", "painting of a Smiling person"),
}
"""Source and target of the repository's own list of prompts, where the table of attributes lacks the edit."""

_WITHOUT_PROMPTS = {"random_noise_man": "man", "random_noise_woman": "woman", "zombie_new": "zombie"}
"""Released edits that the repository's list of prompts lacks, and those whose texts are taken for them."""


@dataclass(frozen=True)
class Released:
    """An edit and the images it was trained on, by a file's name."""

    edit: str
    images: str


def released(file_name: str) -> Released | None:
    """What the name of a released file says; None for any other name."""
    found = _FILE_NAME.fullmatch(file_name)
    return None if found is None else Released(found["edit"], found["images"])


def published_edit(name: str) -> Attribute | None:
    """An edit by its published name, with its texts; None where it was neither released nor is in the table."""
    if name in _TEXTS:
        return Attribute(name, *_TEXTS[name], "unseen")
    row = ATTRIBUTES.get(_WITHOUT_PROMPTS.get(name, name))
    return None if row is None else Attribute(name, row.source, row.target, row.domain, row.redraw)


PUBLISHED_EDITS = (*ATTRIBUTES, *_TEXTS, *_WITHOUT_PROMPTS)
"""Every name that `published_edit` knows."""
