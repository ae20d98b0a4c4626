"""The code that travels to Ray's workers: a folder with our four packages and nothing else.

Ray puts the caller's working directory first on the workers' import path. A user whose own project has
an `analysis/` folder would get that one instead of ours (seen with Ray 2.60); a runtime environment with
this folder as its `working_dir` comes first instead, and every node of a cluster runs the same code.
"""

import fcntl
import importlib.util
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGES = ("orchestrator", "trainables", "search_spaces", "analysis")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


PREFIX = "asyrp-sweep-"
IN_USE = ".in-use"


@contextmanager
def launch_folder() -> Iterator[Path]:
    """A temporary folder for one launch, removed at its end; those of killed launches are removed at its start.

    A launch holds a lock on a file of its folder, which the system lets go of when the process dies.
    """
    _remove_left_behind(Path(tempfile.gettempdir()))
    nascent = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with (nascent / IN_USE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = nascent.rename(nascent.with_name(nascent.name[1:]))  # Seen by others only once it is locked.
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(parent: Path) -> None:
    for lock_file in parent.glob(f"{PREFIX}*/{IN_USE}"):
        with suppress(OSError), lock_file.open("w") as lock:  # in use, or another user's
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_file.parent, ignore_errors=True)


def copy_packages(folder: Path, extra_modules: Iterable[Path] = ()) -> None:
    """Fill `folder` with the four packages as this process imports them, and with single extra modules."""
    for package in PACKAGES:
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
