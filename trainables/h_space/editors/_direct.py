"""Delta-h itself as the parameter: the same edit for every image, whatever its bottleneck.

Departure: the published code sends such a Delta-h through a spherical interpolation that returns h unchanged,
with zero gradient (method.md section 6.6). Here it is added to h, as that of any editor.
"""

from pydantic import Field

from trainables.h_space.editors._base import EditorSettings


class DirectSettings(EditorSettings):
    """Delta-h is learned as it is; a kind says for which timesteps."""

    initial_std: float = Field(default=0.01, ge=0)
    """Standard deviation of the normal numbers that Delta-h starts from; 0 starts from no edit. Published: 0.2."""
