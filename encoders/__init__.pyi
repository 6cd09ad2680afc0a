from .base import Encoder, EncoderError, Items
from .data.interactions import Interactions
from .data.table_parsing import LogError
from .histories.frozen import PooledHistory, TextHistory
from .measures.evaluation import evaluate
from .registry import ENCODERS, load_encoder
from .state import StateEncoder
from .text.behaviour import behaviour_to_text
from .text.encoder import TextEncoder
from .text.model_folder import ModelError

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderError",
    "Interactions",
    "Items",
    "LogError",
    "ModelError",
    "PooledHistory",
    "StateEncoder",
    "TextEncoder",
    "TextHistory",
    "behaviour_to_text",
    "evaluate",
    "load_encoder",
]
