"""How well an encoder ranks: metrics, evaluation, cross-validation."""
