"""What the file names of the editors released with kwonminki/Asyrp_official say.

    dog_happy_LC_dog_t999_ninv40_ngen40_0.pth

is the edit `dog_happy`, trained on the images `dog`. The weights themselves do not name their texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.domains.files import read_domain_source, shipped_domains

_FILE_NAME = re.compile(r"(?P<edit>.+?)_LC_(?P<images>.+)_t\d+_ninv\d+_ngen\d+_\d+\.pth")
FACES = "CelebA_HQ"
"""The images whose edits are in the table of attributes."""

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


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    """Source and target of the edits of dogs, churches and others, as the shipped domains declare them."""
    domains = [read_domain_source(name).domain for name in shipped_domains()]
    return {
        name: own["texts"]
        for domain in domains
        for name, own in domain.per_attribute.items()
        if "texts" in own
    }


def published_edit(name: str) -> Attribute | None:
    """An edit by its published name, with its texts; None where it was neither released nor is in the table."""
    if (texts := _texts().get(name)) is not None:
        return Attribute(name, texts["source"], texts["target"], "unseen")
    row = ATTRIBUTES.get(_WITHOUT_PROMPTS.get(name, name))
    return None if row is None else Attribute(name, row.source, row.target, row.domain, row.redraw)


def published_edits() -> tuple[str, ...]:
    """Every name that `published_edit` knows."""
    return (*ATTRIBUTES, *_texts(), *_WITHOUT_PROMPTS)
