"""Words that only one family understands stay out of the code that serves every family."""

import re
from pathlib import Path

ORCHESTRATOR = Path(__file__).parents[2] / "orchestrator"
WORDS = re.compile(
    r"(?<![a-z])(editors?|diffusion|attributes?|strengths?|clip|faces)(?![a-z])", re.IGNORECASE
)
"""Also as a part of a longer name, such as `find_editor`."""
STILL_TO_MOVE = (
    "execution/provenance.py",
    "ledger/schemas.py",
    "ledger/study.py",
    "plan/identity.py",
    "space/config.py",
    "views/explaining.py",
)
"""Files that still have such words: columns, folders and keys of the files that users have."""


def test_only_files_that_are_still_to_move_have_words_of_one_family() -> None:
    """A file that has lost its last such word leaves the tuple, so that the word cannot come back."""
    found = {
        path.relative_to(ORCHESTRATOR).as_posix()
        for path in ORCHESTRATOR.rglob("*.py")
        if WORDS.search(path.read_text(encoding="utf-8"))
    }

    assert found == set(STILL_TO_MOVE)
