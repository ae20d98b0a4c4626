"""The table of attributes: one row each, texts in the words of the published code.

`redraw` holds the labels that the true edit of an avatar changes (fields of
`trainables.h_space.domains.avatars.faces.Face`); it is empty where the edit cannot be drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal


@dataclass(frozen=True)
class Attribute:
    """An edit: from what the source text says to what the target text says."""

    name: str
    source: str
    target: str
    domain: Literal["in", "unseen"]
    redraw: Mapping[str, object] = field(default_factory=dict)


_ROWS: Final = (
    # In-domain: the diffusion model has seen it (Kwon et al. 2023, Table 1 and the published prompt list).
    Attribute("smiling", "face", "smiling face", "in", {"emotion": "smiling"}),
    Attribute("sad", "face", "sad face", "in", {"emotion": "sad"}),
    Attribute("angry", "face", "angry face", "in", {"emotion": "angry"}),
    Attribute("surprised", "face", "surprised face", "in", {"emotion": "surprised"}),
    Attribute("tanned", "face", "tanned face", "in", {"skin": "tanned"}),
    Attribute("pale", "face", "pale face", "in", {"skin": "pale"}),
    Attribute("man", "a person", "a man", "in", {"gender": "man"}),
    Attribute("woman", "a person", "a woman", "in", {"gender": "woman"}),
    Attribute("old", "person", "old person", "in", {"age": "old"}),
    Attribute("young", "person", "young person", "in", {"age": "young"}),
    Attribute("beards", "person", "person with beards", "in", {"beard": True}),
    Attribute("curly_hair", "person", "person with curly hair", "in", {"hair": "curly"}),
    Attribute("long_hair", "person", "person with long hair", "in", {"hair": "long"}),
    Attribute("short_hair", "person", "person with short hair", "in", {"hair": "short"}),
    Attribute("bald", "person", "person with bald head", "in", {"hair": "bald"}),
    Attribute("blond_hair", "person", "person with blond hair", "in", {"hair_colour": "blond"}),
    Attribute("red_hair", "person", "person with red hair", "in", {"hair_colour": "red"}),
    Attribute("grey_hair", "person", "person with grey hair", "in"),
    Attribute("disgusted", "face", "disgusted face", "in"),
    Attribute("makeup", "person", "person with makeup", "in"),
    Attribute("no_makeup", "person", "person without makeup", "in"),
    # Unseen: only the CLIP model has seen it. goblin is the fork's; robot, clown and pixel_art are ours.
    Attribute("goblin", "person", "goblin", "unseen", {"kind": "goblin"}),
    Attribute("zombie", "Human", "Zombie", "unseen", {"kind": "zombie"}),
    Attribute("robot", "person", "robot", "unseen", {"kind": "robot"}),
    Attribute("clown", "person", "clown", "unseen", {"kind": "clown"}),
    Attribute("pixel_art", "photo", "pixel art", "unseen", {"style": "pixel_art"}),
    Attribute("sketch", "photo", "sketch", "unseen", {"style": "sketch"}),
    Attribute("nicolas", "Person", "Nicolas Cage", "unseen"),
    Attribute("zuckerberg", "Person", "Mark Zuckerberg", "unseen"),
    Attribute("benedict", "Person", "Benedict Cumberbatch", "unseen"),
    Attribute("gogh", "photo", "painting by Gogh", "unseen"),
    Attribute("frida", "photo", "self-portrait by Frida Kahlo", "unseen"),
    Attribute("modigliani", "photo", "Painting in Modigliani style", "unseen"),
    Attribute("watercolor", "photo", "Watercolor Art with Thick Brushstrokes", "unseen"),
    Attribute("elf", "Human", "Tolkien elf", "unseen"),
    Attribute("super_saiyan", "Human", "Super saiyan", "unseen"),
    Attribute("pixar", "Human", "3D render in the style of Pixar", "unseen"),
    Attribute("neanderthal", "Human", "Neanderthal", "unseen"),
    Attribute("jocker", "Human", "The Jocker", "unseen"),
)

ATTRIBUTES: Final[dict[str, Attribute]] = {row.name: row for row in _ROWS}
if len(ATTRIBUTES) != len(_ROWS):
    raise ValueError("trainables/h_space/attributes.py: two rows share a name")
