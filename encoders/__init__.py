"""Encoders: texts to vectors with BERT, histories to states."""

from ..envs.pooling import pool_history
from .behaviour import PooledHistory, StateEncoder, TextHistory, behaviour_to_text
from .model_folder import ModelError
from .text import TextEncoder

__all__ = [
    "ModelError",
    "PooledHistory",
    "StateEncoder",
    "TextEncoder",
    "TextHistory",
    "behaviour_to_text",
    "pool_history",
]
