"""One random stream per purpose, so that changing an axis leaves every other stream alone."""

import hashlib

import torch


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator derived from the trial's seed and the purpose's name ("init", "data order", ...).

    Two cells with the same seed share every stream whose purpose they share, which is what makes their
    difference a paired one (ray_and_statistics 5.1).
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return generator
