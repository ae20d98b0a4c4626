"""The scripts, style sheets and empty pages that the dashboard serves: those of a study's page, and its own."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from analysis.page.assets import static_files

_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "html": "text/html"}


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @property
    def tag(self) -> str:
        """Another one for any other content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


def _found() -> dict[str, StaticFile]:
    """File name -> file; read once, so that no request names a path."""
    own = {path.name: path.read_text("utf-8") for path in (files("analysis.dashboard") / "static").iterdir()}
    return {
        name: StaticFile(text.encode(), f"{_MEDIA_TYPES[name.rpartition('.')[2]]}; charset=utf-8")
        for name, text in {**static_files(), **own}.items()
    }


STATIC = _found()
