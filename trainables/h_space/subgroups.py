"""Subgroups of the held-out images: by a label of the domain, or by a CSV of image ids where it has none."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from trainables.h_space.config import EvaluationConfig
from trainables.h_space.domains.label_file import Labels, LabelTable, read_labels
from trainables.h_space.domains.loading import Domain


class Subgroups:
    """Who belongs to which group of each label that `evaluation.subgroups` names.

    Raises LabelFileError for a `subgroup_file` that cannot be read.
    """

    def __init__(self, domain: Domain, settings: EvaluationConfig) -> None:
        self._images = domain.images
        self._names = settings.subgroups
        self._table: LabelTable | None = None
        if settings.subgroup_file is not None:
            path = Path(settings.subgroup_file)
            self._table = _table_of(path, path.stat().st_mtime_ns)

    def labels(self, image_id: str) -> Labels:
        """What is known of an image: the domain's labels, and those of the file over them."""
        own = self._images.labels(image_id)
        return own if self._table is None else {**own, **self._table.of(image_id)}

    def positions(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """`skin=dark` -> where in `ids` its images are; images without the label are in none of its groups."""
        found: dict[str, list[int]] = {}
        for name in self._names:
            values = [self.labels(image_id).get(name) for image_id in ids]
            for value in sorted({value for value in values if value}):
                found[f"{name}={value}"] = [at for at, own in enumerate(values) if own == value]
        return found


@lru_cache(maxsize=4)
def _table_of(path: Path, modified_ns: int) -> LabelTable:
    """A file's labels, read once by a process; the time is in the key, so a changed file is read again."""
    return read_labels(path)
