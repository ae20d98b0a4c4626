"""Settings and names of studies that tests export, and the page of an exported folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Study = Callable[..., Path]
SMALL: dict[str, Any] = {
    "effects": {"pixel_channel": 0.6, "conv": 0.4},
    "num_seeds": 3,
    "epochs": 2,
    "batches": 4,
    "num_images": 1,
}
UGLY = ["../../up", 'a/b:c*"<|>', "a\nb \N{GRINNING FACE}", "a/b:c*?<|>", "con"]


def card(folder: Path) -> str:
    return (folder / "README.md").read_text() if (folder / "README.md").exists() else ""
