"""Scenarios as TOML files; see `longplay.envs.params`."""
