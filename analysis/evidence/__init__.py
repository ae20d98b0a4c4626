"""Evidence of a study's verdicts: one file from which anybody recomputes them."""
