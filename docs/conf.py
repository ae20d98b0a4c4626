"""How the documentation is built: `sphinx-build -W docs SITE`. See docs/design/020-documentation.md."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # for the directives beside this file

project = "asyrp-sweep"
html_title = "asyrp-sweep"
html_theme = "furo"
html_copy_source = False
html_show_copyright = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "directives"]
suppress_warnings: list[str] = []  # every warning is an error

# Headings are link targets under the names that GitHub gives them, so that one link serves both.
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Docstrings are plain text in which single backticks mark code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True


def setup(app: Sphinx) -> None:
    """Connect what the built-in settings do not offer."""
    app.connect("source-read", _titled)
    app.connect("source-read", _outside)
    app.connect("autodoc-process-docstring", _with_code_blocks)


def _titled(app: Sphinx, name: str, source: list[str]) -> None:
    """Give the tables of results, which are files of reports as they were written, a title."""
    parts = name.split("/")
    if parts[0] == "results" and len(parts) == 3:
        source[0] = f"# {parts[1]}: {parts[2].replace('_', ' ')}\n\n{source[0]}"


def _outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Make links to Markdown files outside docs/, which are no pages of the site, links to the files themselves."""
    way_out = "../" * name.count("/") + r"\.\./"
    source[0] = re.sub(
        rf"\[([^]\n]+)\]\(({way_out}(?!\.\.)[^)#\s]+\.md)\)", r"{download}`\1 <\2>`", source[0]
    )


def _with_code_blocks(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Mark indented blocks of a docstring as code, and a paragraph that ends in a colon as their introduction."""
    for number in range(len(lines) - 1, 0, -1):
        begins = lines[number].startswith("    ") and not lines[number - 1].strip()
        earlier = next((line for line in reversed(lines[:number]) if line.strip()), "")
        if begins and not earlier.startswith("    "):
            lines[number:number] = ["::", ""]
