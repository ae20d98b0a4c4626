"""Measure the avatars' judge: the numbers of its model card.

    python -m trainables.h_space.pretrain.judge_quality [WEIGHTS]

Legend: B pictures of 3 x 32 x 32 pixels in [-1, 1], K labels, V values of a label, L values of all labels, F features.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.clip import ClipModel
from trainables.h_space.domains.avatars.drawing import draw_faces
from trainables.h_space.domains.avatars.faces import JUDGE_SEEDS, redraw
from trainables.h_space.judges.avatars import JUDGE, LABELS, WEIGHTS_FILE, load
from trainables.h_space.pretrain.avatars_judge import judged_faces, shown_labels
from trainables.h_space.pretrain.pixels import augment, to_unit_range
from trainables.h_space.rivals import same_family

NUM_FACES: Final = 1000
NUM_BINS: Final = 10


@dataclass(frozen=True)
class LabelQuality:
    """How well a label is read from held-out faces."""

    name: str
    accuracy: float
    """Share of drawings read right."""
    accuracy_disturbed: float
    """The same with noise, blur and colour shifts, as pictures of a diffusion model may have them."""
    calibration_error: float
    """Expected calibration error of the disturbed ones, in `NUM_BINS` bins of equal width (Guo et al. 2017)."""


def measure_labels(look: Callable[[Tensor], Tensor], num_faces: int = NUM_FACES) -> list[LabelQuality]:
    """Every label on faces of the judge's last seeds, which it was not trained on."""
    faces = judged_faces(JUDGE_SEEDS[-num_faces:])
    pictures, labels = to_unit_range(draw_faces(faces)), shown_labels(faces)
    disturbed = augment(pictures, torch.Generator().manual_seed(0))
    clean, soft = JUDGE.odds(look(pictures)), JUDGE.odds(look(disturbed))
    found = []
    for k, name in enumerate(LABELS):
        is_right = soft[name].argmax(1) == labels[:, k]
        accuracy = (clean[name].argmax(1) == labels[:, k]).float().mean()
        error = calibration_error(soft[name].amax(1), is_right)
        found.append(LabelQuality(name, float(accuracy), float(is_right.float().mean()), error))
    return found


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    """Mean absolute difference of confidence and accuracy over bins, weighted by how many (B,) are in each."""
    bins = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    gaps = [
        (bins == one).float().mean()
        * (confidence[bins == one].mean() - is_right[bins == one].float().mean()).abs()
        for one in sorted(set(bins.tolist()))
    ]
    return float(torch.stack(gaps).sum())


def agreement(
    look: Callable[[Tensor], Tensor], clip: ClipModel, num_faces: int = 128
) -> Iterator[tuple[str, float, float]]:
    """(attribute, agreement, accuracy of the judge) on held-out persons and their true edits.

    Agreement is the share of pictures of which judge and CLIP say the same: that they show the attribute, or another
    one of its family. CLIP chooses among the texts of that family. Only families of several attributes can be asked.
    """
    for attribute in ATTRIBUTES.values():
        family = [one for one in ATTRIBUTES.values() if same_family(attribute, one)]
        if len(family) < 2:
            continue
        (label, value), *_ = attribute.redraw.items()
        faces = [
            face
            for face in judged_faces(JUDGE_SEEDS[-4 * num_faces :])
            if face.kind == "person" and face.style == "plain"
        ]
        faces = faces[:num_faces]
        both = [*faces, *(redraw(face, attribute.redraw) for face in faces)]
        pictures = to_unit_range(draw_faces(both))
        shown = torch.tensor([getattr(face, label) == value for face in both])
        judged = JUDGE.odds(look(pictures))[label].argmax(1) == JUDGE.place_of(label, value)
        with torch.no_grad():
            texts = clip.text(
                [attribute.target, attribute.source, *(one.target for one in family if one != attribute)]
            )
            chosen = (clip.image(pictures) @ texts.T).argmax(1) == 0
        yield (
            attribute.name,
            float((judged == chosen).float().mean()),
            float((judged == shown).float().mean()),
        )


def report(weights: Path = WEIGHTS_FILE, log: Callable[[str], None] = print) -> None:
    """Both tables of the model card."""
    look = load(torch.device("cpu"), weights)
    log("| label | accuracy | disturbed | calibration error |\n|---|---|---|---|")
    for one in measure_labels(look):
        log(
            f"| {one.name} | {one.accuracy:.3f} | {one.accuracy_disturbed:.3f} | {one.calibration_error:.3f} |"
        )
    clip = ClipModel.from_folder(Path(__file__).parents[1] / "domains" / "avatars" / "weights" / "clip")
    log("\n| attribute | agreement with the training CLIP | accuracy of the judge |\n|---|---|---|")
    for name, agreed, accuracy in agreement(look, clip):
        log(f"| {name} | {agreed:.3f} | {accuracy:.3f} |")


if __name__ == "__main__":
    report(Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS_FILE)
