"""Which attributes an edit is measured beside: those it could be mistaken for, and those that it should leave alone."""

from collections.abc import Iterable

from trainables.h_space.attributes import ATTRIBUTES, Attribute


def rival_texts(attribute: Attribute) -> list[str]:
    """Target texts an image could be mistaken for: attributes that redraw the same label (the other emotions,
    the other kinds, ...). None where nothing can be drawn."""
    return [
        other.target
        for other in ATTRIBUTES.values()
        if other.name != attribute.name and same_family(attribute, other)
    ]


def same_family(a: Attribute, b: Attribute) -> bool:
    """Whether two attributes redraw the same label, so that an image has at most one of them."""
    return bool(a.redraw) and a.redraw.keys() == b.redraw.keys()


def others_offered(offered: Iterable[str], attribute: Attribute) -> list[Attribute]:
    """The domain's other attributes, along which every edit's shift is recorded."""
    return [ATTRIBUTES[name] for name in offered if name in ATTRIBUTES and name != attribute.name]
