"""Learn from what the user said: losses, trunk, heads, click learner, trainer (torch lives here)."""
