"""The code that travels to Ray's workers: a folder with our packages and nothing else.

Ray puts the caller's working directory first on the workers' import path. A user whose own project has
an `analysis/` folder would get that one instead of ours (seen with Ray 2.60); a runtime environment with
this folder as its `working_dir` comes first instead, and every node of a cluster runs the same code.
"""

import importlib.util
import shutil
from collections.abc import Iterable
from pathlib import Path

from orchestrator.execution.provenance import CODE

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def copy_packages(folder: Path, extra_modules: Iterable[Path] = ()) -> None:
    """Fill `folder` with our packages as this process imports them, and with single extra modules."""
    for package in CODE:
        shutil.copytree(package_folder(package), folder / package, ignore=LEFT_OUT)
    for module in extra_modules:
        shutil.copy2(module, folder / module.name)


def package_folder(package: str) -> Path:
    """Where this process would import a package from."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{package} is not importable: the installation of asyrp-sweep is incomplete"
        )
    return Path(next(iter(spec.submodule_search_locations)))
