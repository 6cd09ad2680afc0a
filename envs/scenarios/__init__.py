"""Scenarios as TOML files; see `longplay.envs.users.params`."""
