"""`edit`: from what the user names to the editors, the domain and the images that are meant."""

import argparse
import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.execution.models import FOLDER, model_path
from orchestrator.ledger import Ledger, read_study
from orchestrator.ledger.study import CACHE_FOLDER
from trainables.h_space.cli.interval import Say, measured_curves
from trainables.h_space.domains import domain_summary
from trainables.h_space.domains.decoding import PictureError, inspect
from trainables.h_space.domains.loading import PictureModel, load_picture_model
from trainables.h_space.domains.scanning import scan
from trainables.h_space.edit_session import EditError, EditSession, EditSettings, Source
from trainables.h_space.editing_interval import IntervalError
from trainables.h_space.editor_file import EditorFileError, LoadedEditor, load_editor
from trainables.h_space.metrics import METRICS
from trainables.paths import user_path
from trainables.wording import one_of

BEST = "best"
MAX_LISTED = 8


@dataclass(frozen=True)
class EditJob:
    """All that an `edit` command needs, read and checked."""

    session: EditSession
    sources: Sequence[Source]
    notes: Sequence[str]
    """What the user should know before the pictures come."""


def open_edit(options: argparse.Namespace, study_folder: Path | None, say: Say) -> EditJob:
    """Find the editors, load their domain and read every image.

    Raises EditError, EditorFileError, DomainError or LedgerError for whatever of it is not there or does not fit.
    """
    if not options.images and not options.faces and not options.generate:
        raise EditError("nothing to edit: give picture files or image ids, --faces N or --generate N")
    named = list(dict.fromkeys(name for image in options.images for name in _named(image, say)))
    _check_pictures(named)
    paths = [_editor_path(name, options, study_folder, say) for name in options.editor]
    editors = [load_editor(path) for path in paths]
    name = options.domain or _shared_domain(editors)
    domain = load_picture_model(name, options.device or _best_device())
    cache_dir = options.results.absolute() / CACHE_FOLDER
    t_boost = _t_boost(name, cache_dir, say) if options.boost == "auto" else options.boost
    settings = EditSettings(
        options.strength, options.steps, options.coefficients, options.window, t_boost, options.seed
    )
    session = EditSession(domain, editors, settings)
    wanted = [*named, *(session.held_out(options.faces) if options.faces else [])]
    sources = [*map(session.read, wanted), *session.made_up(options.generate or 0)]
    _check_writable(options.out)
    of_sources = (source.note for source in sources if source.note is not None)
    notes = [*_other_versions(paths, editors, domain), *session.notes, *of_sources]
    return EditJob(session, sources, notes)


# PictureModel


def _named(image: str, say: Say) -> Sequence[str]:
    """What an argument names: a file or an id as it is, the pictures of a folder, those that fit a pattern."""
    if image == "-" or "://" in image:
        raise EditError(f"{image!r} is no file: save the picture as a file and name that")
    path = user_path(image)
    if path.is_dir():
        found = scan(path)
        left_out = f"; left out: {found.summary}" if found.left_out else ""
        if not found.names:
            raise EditError(f"{path} has no pictures to edit{left_out}")
        if left_out:
            say(f"{path}: {len(found.names)} pictures{left_out}")
        return [str(path / name) for name in found.names]
    if set(image) & set("*?[") and not path.exists():
        pattern = str(path.relative_to(path.anchor))
        fitting = [str(found) for found in sorted(Path(path.anchor).glob(pattern)) if found.is_file()]
        if not fitting:
            raise EditError(f"{image!r} fits no file")
        return fitting
    return [image]


def _check_pictures(images: Sequence[str]) -> None:
    """Raises EditError, naming every file that cannot be read, before anything is loaded."""
    wrong = []
    for image in images:
        if (path := user_path(image)).is_file() or path.is_symlink():
            try:
                inspect(path)
            except PictureError as error:
                wrong.append(str(error))
    if wrong:
        more = f"\nand {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
        raise EditError("\n".join(wrong[:MAX_LISTED]) + more)


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise EditError(f"--out {out} cannot be written: {error.strerror}") from error


def folder_names(sources: Sequence[Source]) -> Iterator[str]:
    """A name for each image; the second `photo` becomes `photo-2`."""
    taken: set[str] = set()
    for source in sources:
        numbered = (f"{source.name}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([source.name], numbered) if name not in taken)
        taken.add(name)
        yield name


# Editors


def _editor_path(name: str, options: argparse.Namespace, study_folder: Path | None, say: Say) -> Path:
    """The file of an editor: the best of a study, a file as named, or a trained one by its id or a unique prefix."""
    if name == BEST:
        path, sentence = _best(study_folder or _only_study(options.results), options.attribute)
        say(sentence)
        return path
    if (path := user_path(name)).is_file():
        return path
    if name.endswith(".safetensors"):
        raise EditError(f"--editor {name}: there is no such file")
    pattern = f"{FOLDER}/*.safetensors" if study_folder is not None else f"*/{FOLDER}/*.safetensors"
    known = sorted((study_folder or options.results).glob(pattern))
    return _by_id(name, known, study_folder or options.results)


def _only_study(results: Path) -> Path:
    """The one study of a results folder."""
    studies = sorted(path.parent for path in results.glob("*/study.json"))
    if len(studies) == 1:
        return studies[0]
    if not studies:
        raise EditError(f"--editor best: there is no study in {results}; --results names another folder")
    named = one_of(study.name for study in studies[:MAX_LISTED])
    more = f" (of {len(studies)} studies)" if len(studies) > MAX_LISTED else ""
    raise EditError(f"--editor best: say of which study: --study {named}{more}")


def _by_id(name: str, known: Sequence[Path], searched: Path) -> Path:
    """The editor whose id is, or begins with, the name. One trial may have left its editor in several studies."""
    by_id = {path.stem: path for path in known}
    found = [name] if name in by_id else [editor for editor in by_id if editor.startswith(name)]
    if len(found) == 1:
        return by_id[found[0]]
    wrong = (
        "ids of several editors begin like that" if found else f"no trained editor of that id in {searched}"
    )
    listed = found or list(by_id)
    lines = [f"    {_described(by_id[editor])}" for editor in listed[:MAX_LISTED]]
    if len(listed) > MAX_LISTED:
        lines.append(f"    and {len(listed) - MAX_LISTED} more")
    what = "" if found or not listed else ", nor a file; there are"
    raise EditError("\n".join([f"--editor {name}: {wrong}{what}", *lines]))


def _described(path: Path) -> str:
    study = path.parent.parent.name
    try:
        config = load_editor(path).metadata.config
    except EditorFileError:
        return f"{path.stem}  (of study {study}; written by another version)"
    return f"{path.stem}  {config.attribute}, {config.editor.kind}, of study {study}"


def _best(study_folder: Path, attribute: str | None) -> tuple[Path, str]:
    """The editor of the finished trial with the best primary metric, and a sentence that says which it is."""
    study = read_study(study_folder)
    metric = str(study.primary["metric"])
    planned = {trial.signature for cell in study.cells for trial in cell.trials}
    scored = [
        (_score(record, metric), record)
        for record in Ledger(study_folder / "ledger").records()
        if record["status"] == "done" and record["signature"] in planned
        if attribute is None or json.loads(record["config"])["attribute"] == attribute
        if math.isfinite(_score(record, metric))
        if _file_of(study_folder, record).is_file()
    ]
    if not scored:
        of = "" if attribute is None else f" for {attribute}"
        raise EditError(
            f"--editor best: study {study.name} has no finished trial{of} with {metric} and an editor"
        )
    higher = metric in METRICS and METRICS[metric].higher_is_better  # what else can be primary is a loss
    value, record = (max if higher else min)(scored, key=lambda entry: entry[0])
    return (
        _file_of(study_folder, record),
        f"best of {study.name}, {metric} {value:.3f} ({'highest' if higher else 'lowest'} of {len(scored)} trials): "
        f"{record['cell']}, seed {record['seed']}, editor {record['signature']}",
    )


def _score(record: dict[str, Any], metric: str) -> float:
    """Not a number where the trial has none; 0 is a score like any other."""
    value = record.get(f"metric_{metric}")
    return math.nan if value is None else float(value)


def _file_of(study_folder: Path, record: dict[str, Any]) -> Path:
    return model_path(study_folder, record["signature"])


def _shared_domain(editors: Sequence[LoadedEditor]) -> str:
    """The one domain that all the editors were trained in."""
    domains = list(dict.fromkeys(editor.metadata.config.domain for editor in editors))
    if len({domain_summary(domain).fingerprint for domain in domains}) > 1:
        raise EditError(
            f"the editors belong to different domains ({', '.join(domains)}); they cannot act together"
        )
    return domains[0]


def _other_versions(
    paths: Sequence[Path], editors: Sequence[LoadedEditor], domain: PictureModel
) -> Iterator[str]:
    """A warning for each editor whose domain had other files when it was trained."""
    for path, editor in zip(paths, editors, strict=True):
        trained_in = editor.metadata.extra.get("domain_fingerprint")
        if trained_in not in (None, domain.fingerprint):
            yield (
                f"note: {path.stem} was trained with other models or images of {domain.name} than are there now; "
                "its edits may not be what they were"
            )


def _t_boost(domain: str, cache_dir: Path, say: Say) -> int:
    """t_boost of a domain by the published rule."""
    try:
        t_boost = measured_curves(domain, cache_dir, say).t_boost(domain_summary(domain).interval.t_boost)
    except IntervalError as error:
        raise EditError(f"--boost auto: {error}") from error
    say(f"quality boost below t = {t_boost}")
    return t_boost


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
