"""How far from its image a process must be where an edit begins, and where noise helps."""

from pydantic import Field

from trainables.settings import Settings


class IntervalThresholds(Settings):
    """Where a domain's perceptual-distance curves tell t_edit and t_boost, in the distance that it is measured by.

    The published numbers are LPIPS's (Kwon et al. 2023, section 3.4, as in the published code); a domain without LPIPS
    measures by its CLIP features, whose scale is another.
    """

    t_edit: float = Field(default=0.33, gt=0)
    """Times the prompt cosine: how far P_t may be from the image where the edit begins."""
    t_boost: float = Field(default=1.2, gt=0)
    """How far x_t may be from the image where noise begins to help."""

    @property
    def is_published(self) -> bool:
        """Whether both are the published numbers."""
        return self == PUBLISHED_THRESHOLDS


PUBLISHED_THRESHOLDS = IntervalThresholds()
