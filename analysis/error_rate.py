"""What of alpha a study may spend on what, in words."""

from analysis.contrasts import Judgement
from analysis.frames import StudyFrames
from analysis.labels import plural
from analysis.stats.spending import AFTER_A_GLANCE, RESERVE
from orchestrator.ledger import planned_looks


def alpha_sentence(frames: StudyFrames, judgement: Judgement) -> str:
    """What the planned looks have of alpha, what later plans have taken, and what is left; empty for a search."""
    spending = judgement.spending
    if not judgement.num_comparisons:
        return ""
    plans = frames.study.plans or (planned_looks(frames.study),)
    shared = "is for" if judgement.num_comparisons == 1 else "is shared by"
    said = [f"Alpha {frames.alpha:g} {shared} {plural(judgement.num_comparisons, 'comparison')}"]
    first = next((index for index, share in enumerate(spending.shares) if share), None)
    if first is None:
        seeds = plans[-1].seeds
        too_few = f"{plural(len(seeds), 'seed')} {'is' if len(seeds) == 1 else 'are'} too few for a verdict"
        return f"{said[0]}. {too_few}, and spend{'s' if len(seeds) == 1 else ''} nothing of it."
    looks = ", ".join(map(str, plans[first].schedule))
    said.append(f"{spending.shares[first]:.3g} at the planned {_looks(looks)}")
    later = [share for share in spending.shares[first + 1 :] if share]
    if later:
        said.append(f"{sum(later):.3g} at those of {plural(len(later), 'later plan')}")
    text = f"{said[0]}: {', '.join(said[1:])}. "
    if spending.saw_seeds_first:
        text += f"That is {AFTER_A_GLANCE:.0%} of it, for seeds had been seen before the plan was made. "
    return text + (
        f"Of the {RESERVE * frames.alpha:.2g} for looks that were not planned at first, {spending.left:.2g} is left; "
        "the next plan with more seeds or cells may spend half of that."
    )


def _looks(counts: str) -> str:
    return f"looks after {counts} seeds" if "," in counts else f"look after {counts} seeds"
