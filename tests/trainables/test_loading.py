"""What is made to be kept is left out of the search for garbage; what was garbage before is not kept with it."""

import gc
import weakref

import pytest

from trainables.loading import to_be_kept


class Node:
    """Refers to itself, so that only the search for garbage finds it."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_made_within_is_not_looked_through_again() -> None:
    before = weakref.ref(Node())
    gc.unfreeze()
    try:
        with to_be_kept():
            assert before() is None
            assert not gc.isenabled()
            made = weakref.ref(Node())
        gc.collect()

        assert gc.isenabled()
        assert made() is not None
        after = weakref.ref(Node())
        gc.collect()
        assert after() is None
    finally:
        gc.unfreeze()


def test_an_error_within_goes_on_and_the_search_too() -> None:
    with pytest.raises(ImportError), to_be_kept():
        raise ImportError

    assert gc.isenabled()
