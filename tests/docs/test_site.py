"""The documentation builds without a warning, and its links lead somewhere, on GitHub too."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")


@pytest.mark.slow
def test_every_warning_of_the_build_is_an_error_and_there_is_none(tmp_path: Path) -> None:
    """A link to a page, a heading, a picture or a file that is not there is such a warning."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", tmp_path / "site"]

    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees"], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.returncode == 0
    assert (tmp_path / "site" / "index.html").is_file()


def test_every_file_that_a_page_links_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]

    missing = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link.partition("#")[0]).exists()
    ]

    assert missing == []


def test_every_heading_that_the_readme_links_exists() -> None:
    """Sphinx does not read the README; the pages' own anchors it checks itself."""
    links = [link.partition("#") for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))]

    for file, _, anchor in links:
        if anchor:
            assert anchor in _anchors(ROOT / (file or "README.md")), (file, anchor)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
