"""Encoders: texts to vectors with BERT, histories and items to vectors of one space, observations to states."""

from ..envs.candidates.pooling import pool_history
from .base import Encoder, EncoderError, Items
from .histories.frozen import PooledHistory, TextHistory
from .state import StateEncoder
from .text.behaviour import behaviour_to_text
from .text.encoder import TextEncoder
from .text.model_folder import ModelError

__all__ = [
    "Encoder",
    "EncoderError",
    "Items",
    "ModelError",
    "PooledHistory",
    "StateEncoder",
    "TextEncoder",
    "TextHistory",
    "behaviour_to_text",
    "pool_history",
]
