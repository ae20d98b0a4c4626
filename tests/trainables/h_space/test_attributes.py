"""The table of attributes."""

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains.avatars.faces import Face, redraw


def test_rows_are_filed_under_their_own_name() -> None:
    assert all(name == row.name for name, row in ATTRIBUTES.items())


def test_texts_are_those_of_the_published_prompts() -> None:
    assert (ATTRIBUTES["smiling"].source, ATTRIBUTES["smiling"].target) == ("face", "smiling face")
    assert (ATTRIBUTES["goblin"].source, ATTRIBUTES["goblin"].target) == ("person", "goblin")
    assert (ATTRIBUTES["man"].source, ATTRIBUTES["man"].target) == ("a person", "a man")


def test_every_redraw_is_a_change_of_a_face() -> None:
    for row in ATTRIBUTES.values():
        changed = redraw(Face(), row.redraw)
        assert all(getattr(changed, label) == value for label, value in row.redraw.items())


def test_unseen_attributes_change_kind_or_style() -> None:
    for row in ATTRIBUTES.values():
        if row.redraw:
            assert (row.domain == "unseen") == bool({"kind", "style"} & set(row.redraw))
