"""Words that only one family understands stay out of the code that serves every family."""

import re
from pathlib import Path

ORCHESTRATOR = Path(__file__).parents[2] / "orchestrator"
WORDS = re.compile(
    r"(?<![a-z])(editors?|diffusion|attributes?|strengths?|clip|faces)(?![a-z])", re.IGNORECASE
)
"""Also as a part of a longer name, such as `find_editor`."""
STILL_TO_MOVE = (
    "cli/commands.py",
    "cli/doctor.py",
    "cli/editing.py",
    "cli/importing.py",
    "cli/interval.py",
    "cli/listing.py",
    "cli/option_values.py",
    "cli/parser.py",
    "cli/picture_commands.py",
    "cli/run.py",
    "cli/tune.py",
    "execution/checkpoints.py",
    "execution/models.py",
    "execution/provenance.py",
    "ledger/schemas.py",
    "ledger/study.py",
    "plan/identity.py",
    "search/__init__.py",
    "search/earlier.py",
    "search/loading.py",
    "search/optimizer.py",
    "search/running.py",
    "search/winner.py",
    "space/config.py",
    "space/designs/optuna.py",
    "views/explaining.py",
)
"""Files that still have such words: for what h-space alone does, or for names in files that users have."""


def test_only_files_that_are_still_to_move_have_words_of_one_family() -> None:
    """A file that has lost its last such word leaves the tuple, so that the word cannot come back."""
    found = {
        path.relative_to(ORCHESTRATOR).as_posix()
        for path in ORCHESTRATOR.rglob("*.py")
        if WORDS.search(path.read_text(encoding="utf-8"))
    }

    assert found == set(STILL_TO_MOVE)
