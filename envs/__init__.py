"""Environments: catalogue, user model, and the Gymnasium faces. Imports neither torch nor transformers."""
