"""Learn from what the user said: losses, trunk, heads, click learner, trainer. Torch lives here."""
