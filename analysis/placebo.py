"""The placebo of a study: its baseline once more under other seeds, which differs by noise alone."""

import numpy as np

from analysis.contrasts import sample_of
from analysis.frames import StudyFrames
from analysis.labels import number, plural, with_interval
from analysis.stats import Contrast, LookAt, contrast_of, t_quantile


def placebo_contrast(frames: StudyFrames) -> Contrast | None:
    """The placebo against the baseline at alpha by itself, since nothing is claimed of it; None without one.

    It is judged once its seeds have run.
    """
    cell = next((cell.cell for cell in frames.study.cells if cell.role == "placebo"), None)
    if cell is None or frames.baseline is None:
        return None
    sample = sample_of(frames, frames.primary_metric, cell, frames.baseline)
    look = LookAt(len(frames.seeds), is_held=sample.missing == 0)
    return contrast_of(sample, frames.alpha, margin=frames.margin, alpha=frames.alpha, look=look)


def placebo_lines(frames: StudyFrames) -> list[str]:
    """What the placebo came to; nothing without one."""
    contrast = placebo_contrast(frames)
    return [] if contrast is None else [placebo_sentence(contrast)]


def placebo_warnings(frames: StudyFrames) -> list[str]:
    """What is wrong where the placebo differs from the baseline."""
    contrast = placebo_contrast(frames)
    return [] if contrast is None else [line for line in (placebo_warning(contrast),) if line]


def noise_floor(contrast: Contrast) -> float:
    """How far the mean of so many differences strays from zero in 95 % of studies, were there noise alone.

    Their spread is taken about zero, which is what the placebo's mean is known to be; NaN without pairs.
    """
    differences = contrast.sample.differences
    if contrast.n == 0:
        return float("nan")
    # n squares about a known mean have n degrees of freedom, which a quantile for n + 1 values has.
    return t_quantile(0.95, contrast.n + 1) * float(np.sqrt(np.mean(differences**2) / contrast.n))


def placebo_sentence(contrast: Contrast) -> str:
    """What the placebo came to, and the noise floor."""
    if contrast.sample.incomparable or contrast.n == 0:
        return f"Placebo: {contrast.sample.incomparable or 'no pair has run'}."
    shown = with_interval(contrast.mean, contrast.interval.low, contrast.interval.high)
    floor = noise_floor(contrast)
    text = (
        f"Placebo, the baseline under other seeds: {shown}, {plural(contrast.n, 'pair')}. Noise floor: other seeds "
        f"alone move such a mean by up to ±{number(floor)} (95 %); cells on the same seeds may stray less."
    )
    return f"{text} The margin of {contrast.margin:g} is below that." if contrast.margin < floor else text


def placebo_warning(contrast: Contrast) -> str:
    """What is wrong where the placebo differs from the baseline; empty where it does not."""
    if contrast.verdict not in ("helps", "hurts"):
        return ""
    return (
        f"The placebo {contrast.verdict}, although it is the baseline under other seeds. By chance one in "
        f"{1 / contrast.alpha:.0f} does. Otherwise something else differs with the seed (device, order of the runs, "
        "data), and other verdicts may rest on it too."
    )
