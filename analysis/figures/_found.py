"""How kinds of figures are found."""

from pathlib import Path

import trainables
from analysis.figures._base import FigureKind, fault
from trainables.registry import Registry, discover, plugins_in_use

DECLARATION = "FIGURE"


class Figures(Registry[FigureKind]):
    """Those of a package, of the families beside it, and of the plugins in use."""

    def __init__(self, package: str) -> None:
        super().__init__("figure", package, DECLARATION, FigureKind, fault=fault, decides_numbers=False)
        for folder in sorted(Path(*trainables.__path__).glob("*/figures")):
            self._own |= discover(f"trainables.{folder.parent.name}.figures", DECLARATION, FigureKind)
        self._use(plugins_in_use())
