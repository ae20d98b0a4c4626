"""What the README promises about itself."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_reads_its_command_from_the_readme() -> None:
    block = README.split("<!-- test-command -->")[1].split("```bash\n")[1].split("```")[0]

    assert "pytest" in block
    assert "<!-- test-command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    """Everything else has a page in docs/."""
    assert len(README.splitlines()) <= 250


def test_the_space_it_runs_ships() -> None:
    named = re.findall(r"search_spaces/\w+\.yaml", README)

    assert named
    assert all((ROOT / name).is_file() for name in named)
