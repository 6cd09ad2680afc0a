"""Encoders by name, and from the folder that one was saved in."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .base import Encoder, EncoderError, Items, read_header


@dataclass(frozen=True)
class Recipe:
    """An encoder by name: its class, found when first asked for (torch-geometric takes seconds), and its settings."""

    module: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""

    @property
    def encoder(self) -> type[Encoder]:
        """The class."""
        found: type[Encoder] = getattr(importlib.import_module(f".{self.module}", __package__), self.kind)
        return found

    def make(self, items: Items, **changes: Any) -> Encoder:
        """An encoder, not yet fitted, with some settings changed."""
        kind = self.encoder
        try:
            return kind(items, kind.settings_type(**{**self.settings, **changes}))
        except TypeError as error:
            raise EncoderError(f"{self.kind} takes other settings: {error}") from error


_FLAT = {"half_life_items": float("inf"), "half_life_days": float("inf")}

ENCODERS: dict[str, Recipe] = {
    "mean": Recipe("histories.frozen", "PooledHistory", _FLAT, "mean of the history's text vectors"),
    "pooled": Recipe("histories.frozen", "PooledHistory", {}, "text vectors weighted by recency and completion"),
    "text": Recipe("histories.frozen", "TextHistory", {}, "the history told in English, through BERT"),
    "tower": Recipe("networks.tower", "Tower", {}, "two-tower fine-tuning of BERT"),
    "tower-heads": Recipe(
        "networks.tower", "Tower", {"trained_layers": 0}, "two towers over a BERT that stays as it is"
    ),
    "item-knn": Recipe("histories.neighbours", "ItemNeighbours", {}, "neighbours of the history's items"),
    "user-knn": Recipe("histories.neighbours", "UserNeighbours", {}, "neighbours of the user"),
    "als": Recipe("histories.factors", "ALS", {}, "implicit matrix factorisation"),
    "svd": Recipe("histories.factors", "SVD", {}, "truncated singular value decomposition"),
    "lightgcn": Recipe("networks.graph", "Graph", {"layer": "lightgcn"}, "user-item graph, linear propagation"),
    "gcn": Recipe("networks.graph", "Graph", {"layer": "gcn"}, "user-item graph, convolutions"),
    "gat": Recipe("networks.graph", "Graph", {"layer": "gat"}, "user-item graph, attention"),
    "gru": Recipe(
        "networks.sequence", "Sequence", {"cell": "gru", "size": 32}, "gated recurrent unit over the history"
    ),
    "lstm": Recipe(
        "networks.sequence", "Sequence", {"cell": "lstm", "size": 32}, "long short-term memory over the history"
    ),
    "transformer": Recipe(
        "networks.sequence", "Sequence", {"cell": "transformer"}, "causal Transformer over the history"
    ),
    "attention": Recipe(
        "networks.sequence", "Sequence", {"cell": "attention"}, "attention of the candidate to the history"
    ),
    "cold-start": Recipe(
        "histories.cold_start", "ColdStart", {}, "another encoder, helped by texts where it knows nothing"
    ),
}


def load_encoder(folder: str | Path, items: Items) -> Encoder:
    """The encoder saved in a folder, whatever its class.

    Raises
    ------
    EncoderError
        If the folder holds none, or the items are not those it was fitted on.
    """
    kind = str(read_header(folder)["encoder"])
    modules = {recipe.kind: recipe for recipe in ENCODERS.values()}
    if kind not in modules:
        raise EncoderError(f"{folder}: its encoder is {kind!r}; known are {', '.join(map(repr, modules))}")
    return modules[kind].encoder.load(folder, items)
