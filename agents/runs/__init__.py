"""A training run: its configuration, training with checkpoints, presets, the search for settings."""
