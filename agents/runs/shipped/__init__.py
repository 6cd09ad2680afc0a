"""Chosen settings of agents, a TOML file each, as scripts/tune.py writes them; see `longplay.agents.runs.presets`."""
