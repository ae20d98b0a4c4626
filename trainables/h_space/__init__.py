"""The family of h-space editors: all that knows diffusion models, CLIP, attributes and pictures."""
