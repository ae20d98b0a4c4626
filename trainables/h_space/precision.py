"""The settings of how exactly networks compute. Plans read them: nothing here imports torch."""

from typing import Literal, Self

from pydantic import Field

from trainables.settings import Settings

Precision = Literal["float32", "bfloat16", "float16"]


class PrecisionConfig(Settings):
    """How the networks of a domain compute while an editor is trained, applied and measured.

    What trials share is always float32: inversions, unedited trajectories, what is seen in unedited pictures, texts.
    bfloat16 has two digits, float16 three, on GPUs alone. How large errors are: docs/design/031.
    """

    unet: Precision = "float32"
    """The diffusion model. With one that predicts epsilon, `unet_below` must say up to where."""
    unet_below: int | None = Field(default=None, ge=1)
    """`unet` counts at timesteps below this one, float32 from here up; everywhere when left out. P_t multiplies errors
    of epsilon by sqrt((1 - alpha_bar) / alpha_bar): 2 at t = 396 of the published schedule, 157 at 999."""
    clip: Precision = "float32"
    """Images in the CLIP that trains editors, also where it measures them."""
    decoder: Precision = "float32"
    """The decoder of a model of latents."""
    metrics: Precision = "float32"
    """Networks that only measure: the judge, the second CLIP, the segmenter, Inception, LPIPS; no ONNX file."""

    def in_words(self) -> str:
        """Which parts are lowered, as `unet in bfloat16 below t = 396, clip in bfloat16`; nothing where none is."""
        bound = "" if self.unet_below is None else f" below t = {self.unet_below}"
        parts = {"unet": self.unet, "clip": self.clip, "decoder": self.decoder, "metrics": self.metrics}
        return ", ".join(
            f"{part} in {found}{bound if part == 'unet' else ''}"
            for part, found in parts.items()
            if found != "float32"
        )

    def canonical(self) -> Self:
        """The same without a bound on what is not lowered."""
        return self if self.unet != "float32" else self.model_copy(update={"unet_below": None})
