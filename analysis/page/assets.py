"""The files of the page: one HTML file with everything in it, or the same modules as files for a server."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, PackageLoader, Template

from analysis import style
from analysis.page.shape import StudyPage

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
STYLE_SHEET = "page.css"
REDRAWN = ("effects", "parallel")
"""Kinds of figures that the script draws itself, with all that is in them: only readers without it get the picture."""
MAX_WITHOUT_SCRIPT = 400_000
"""Letters of such a picture; a larger one, of very many cells, is in its file beside the page alone."""


def report_html(page: StudyPage) -> str:
    """The page of a study as one file that opens from disk without a network, and loads nothing."""
    script, sheet = _bundle("report.js"), style_sheet()
    redrawn = [figure for figure in page["figures"] if figure["kind"] in REDRAWN and figure["picture"]]
    others = [figure for figure in page["figures"] if figure not in redrawn]
    small = [figure for figure in redrawn if len(figure["picture"] or "") <= MAX_WITHOUT_SCRIPT]
    return _template().render(
        page=page,
        without_script=small,
        title=f"{page['header']['study']}: {page['header']['question']}",
        policy=(
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(sheet)}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=sheet,
        script=script,
        data=_json({**page, "figures": others}),
    )


def static_files() -> dict[str, str]:
    """Name -> text of the modules and the style sheet that a live page loads."""
    modules = {
        path.name: path.read_text(encoding="utf-8")
        for path in _folder().iterdir()
        if path.name.endswith(".js")
    }
    return {**modules, STYLE_SHEET: style_sheet()}


def style_sheet() -> str:
    """The style sheet, the colours of verdicts before it."""
    light, dark = (
        " ".join(f"--{verdict}: {colour};" for verdict, colour in colours.items())
        for colours in (style.VERDICT_COLOURS, style.VERDICTS_ON_DARK)
    )
    on_dark = f"@media screen and (prefers-color-scheme: dark) {{ :root:not(.printing) {{ {dark} }} }}"
    return f":root {{ {light} }}\n{on_dark}\n{_read(STYLE_SHEET)}"


def _bundle(entry: str) -> str:
    """A module and all that it imports, the imported first, as one script: a page on disk cannot load modules.

    Each becomes a function that gives what the module exports, so that their other names stay apart.
    """
    wrapped: dict[str, str] = {}

    def add(name: str) -> None:
        text = _read(name)
        for _, imported in _IMPORT.findall(text):
            if imported not in wrapped:
                add(imported)
        body = _EXPORT.sub("", _IMPORT.sub(r'const \1 = modules["\2"];', text))
        exported = ", ".join(_EXPORT.findall(text))
        wrapped[name] = f'modules["{name}"] = (() => {{\n{body}return {{ {exported} }};\n}})();\n'

    add(entry)
    return '"use strict";\nconst modules = {};\n' + "".join(wrapped.values())


def _read(name: str) -> str:
    return _folder().joinpath(name).read_text(encoding="utf-8")


def _folder() -> Traversable:
    return files("analysis.page") / "static"


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("analysis.page", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


def _json(page: StudyPage) -> str:
    """JSON that may stand in a script element: no `<` in it begins a tag."""
    return json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )


def _hash(text: str) -> str:
    """The source expression of a policy that allows exactly this script or style sheet."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
