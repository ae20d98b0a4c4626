"""Words that only one family understands stay out of the code that serves every family."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WORDS = re.compile(
    r"(?<![a-z])(editors?|diffusion|attributes?|strengths?|(open_)?clip|faces|avatars?"
    r"|counterfactuals?|reconstructions?|sample_steps|timesteps?)(?![a-z])",
    re.IGNORECASE,
)
"""Also as a part of a longer name, such as `find_editor`."""
OF_PYTHON = re.compile(r"use_attribute_docstrings|AttributeError|has no attribute")
"""What these words are a part of without being of a family."""


@pytest.mark.parametrize("package", ["orchestrator", "analysis", "asyrp_sweep"])
def test_no_code_that_serves_every_family_has_words_of_one(package: str) -> None:
    found = {
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in (REPOSITORY / package).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WORDS.search(OF_PYTHON.sub("", line))
    }

    assert found == set()
