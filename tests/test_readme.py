"""What the README promises about itself."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_reads_its_command_from_the_readme() -> None:
    block = README.split("<!-- test-command -->")[1].split("```bash\n")[1].split("```")[0]

    assert "pytest" in block
    assert "<!-- test-command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_picture_and_file_it_links_exists() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_space_it_runs_ships() -> None:
    named = re.findall(r"search_spaces/\w+\.yaml", README)

    assert named
    assert all((ROOT / name).is_file() for name in named)
