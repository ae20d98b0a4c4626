"""The built-in domain in latents: the drawn faces at 64 pixels, and a small latent diffusion model of them."""
