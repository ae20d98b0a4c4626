"""Where trained models are kept, and how a trial that starts from one finds it, on any node.

In the folder `FOLDER` of a study:

    <signature>.safetensors              of a finished trial
    <signature>-epoch-00003.safetensors  after an earlier epoch, where a child of the plan asks for it
    from-<sha256>.safetensors            a file that a space names: a copy, for the other nodes
    replaced/                            models of earlier attempts, where a later one gave other bytes

The study's folder is the one place that every node sees, so models travel through it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from orchestrator.execution.tasks import TrialTask
from orchestrator.ledger.copies import working_copy_of
from orchestrator.ledger.durable import Fill, write_atomically, write_bytes_atomically
from orchestrator.ledger.files import writing
from trainables.errors import UserError
from trainables.model_files import MODEL_FOLDER, model_file

FOLDER = MODEL_FOLDER
REPLACED = "replaced"


class MissingModel(UserError):
    """A model that a trial starts from is not there, or is not what it was."""


def model_path(study_folder: Path, signature: str, epoch: int | None = None) -> Path:
    """Where a trial's model is written: that of its last epoch, or of an earlier one."""
    suffix = "" if epoch is None else f"-epoch-{epoch:05d}"
    return study_folder / model_file(f"{signature}{suffix}")


def find_model(study_folder: Path, signature: str, epoch: int | None = None) -> Path | None:
    """A trial's model, in its study or in another one of the same results folder that ran the same trial."""
    own = model_path(study_folder, signature, epoch)
    if is_there(own):
        return own
    return next(iter(sorted(study_folder.parent.glob(f"*/{FOLDER}/{own.name}"))), None)


def is_there(path: Path) -> bool:
    """Whether a study has a model; where its folder is a copy, the store decides, and the model is fetched."""
    copy = working_copy_of(path.parents[1])
    return path.is_file() if copy is None else copy.pull(path)


def start_file(task: TrialTask, study_folder: Path) -> Path | None:
    """The file that a trial's weights start from; None for random weights. Raises MissingModel."""
    if task.start_digest is not None:
        return _collected(study_folder, task.start_digest)
    if task.parent is None:
        return None
    found = find_model(study_folder, task.parent, task.parent_epoch)
    if found is None:
        expected = model_path(study_folder, task.parent, task.parent_epoch)
        raise MissingModel(f"the parent's model {expected} is not there")
    return found


def put_model(path: Path, write: Fill, check: Callable[[], None] = lambda: None) -> None:
    """Write a trial's model, as `model_writer` says, and publish it."""
    write_atomically(path, model_writer(path, write, check))
    publish(path)


def model_writer(path: Path, write: Fill, check: Callable[[], None] = lambda: None) -> Fill:
    """What writes a trial's model to a file that is to take its place at `path`.

    Another one that is there already, of an earlier attempt, is kept under `replaced/`. `check` is called once the
    model is written; what it raises leaves all as it was.
    """

    def fill(temporary: Path) -> None:
        write(temporary)
        check()
        if is_there(path) and (earlier := path.read_bytes()) != temporary.read_bytes():
            digest = hashlib.sha256(earlier).hexdigest()
            aside = path.parent / REPLACED / f"{path.stem}-{digest[:16]}{path.suffix}"
            write_bytes_atomically(aside, earlier)
            publish(aside)

    return fill


def publish(path: Path) -> None:
    """Put a model into the store, where the study's folder is a copy of one. Raises LedgerError."""
    study_folder = path.parent.parent if path.parent.name == FOLDER else path.parent.parent.parent
    if (copy := working_copy_of(study_folder)) is not None:
        copy.push([path])


def collect_model(study_folder: Path, path: Path, digest: str) -> None:
    """Copy a model file that a space names into the study.

    Raises MissingModel when it has changed since, LedgerError when the study's folder cannot be written.
    """
    target = _collected_path(study_folder, digest)
    if target.is_file():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingModel(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise MissingModel(f"{path} has changed since the plan was made; plan again")
    with writing(study_folder):
        write_bytes_atomically(target, content)
        publish(target)


def _collected(study_folder: Path, digest: str) -> Path:
    path = _collected_path(study_folder, digest)
    if not is_there(path):
        raise MissingModel(f"{path} is not there; the launch that started this trial put it there")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise MissingModel(f"{path} has another checksum than when the study recorded it")
    return path


def _collected_path(study_folder: Path, digest: str) -> Path:
    return study_folder / FOLDER / f"from-{digest}.safetensors"
