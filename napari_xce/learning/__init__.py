"""Learn from what the user said: losses, the shared trunk, the two heads and the click learner (torch lives here)."""
