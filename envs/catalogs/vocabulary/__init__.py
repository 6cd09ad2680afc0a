"""The words that synthetic catalogues are written with; see `longplay.envs.catalogs.grammar`."""
