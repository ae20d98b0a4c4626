"""The message of a space that is refused, and spaces with one text replaced."""

from collections.abc import Callable

import pytest

from orchestrator.space.config import ConfigError, Space

Load = Callable[..., Space]


def message_of(load: Load, text: str, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return str(caught.value)


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)
