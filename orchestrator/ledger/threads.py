"""Work in threads: of many things at once, and beside what goes on."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import TypeVar

AT_ONCE = 16

T = TypeVar("T")


def together(work: Callable[[T], object], items: Iterable[T]) -> list[T]:
    """Do the work for all of these, several at a time; these. Raises what any of them raises, once none is at work."""
    items = list(items)
    if len(items) < 2:
        for item in items:
            work(item)
        return items
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        list(pool.map(work, items))
    return items


@contextmanager
def beside(work: Callable[[Event], object], name: str) -> Iterator[None]:
    """Let a thread work until the context is left, which sets the event that the work is given, and waits for it."""
    over = Event()
    thread = Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
