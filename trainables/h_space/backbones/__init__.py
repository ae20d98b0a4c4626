"""Frozen diffusion models, cut at their bottleneck. Import from the modules."""
