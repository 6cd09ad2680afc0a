"""The graph of users and items: node vectors by LightGCN, GCN or GAT, and users of whom only a history is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ...envs.candidates.pooling import pad_vectors
from ...envs.shared.options import Options, number, word
from ...envs.shared.progress import ProgressCallback
from ..base import Encoder, EncoderError, Histories
from ..histories.frozen import normalise_rows
from ..histories.matrix import WEIGHTS, build_log_matrix, compute_entry_weights
from ..measures.evaluation import find_validation_cases
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors
from .early_stopping import ValidationRecall
from .fitting import Schedule, train_network

if TYPE_CHECKING:
    from pathlib import Path

    from ..data.interactions import Interactions
    from .propagation import Propagation

LAYERS = ("lightgcn", "gcn", "gat")
LOSSES = ("softmax", "bpr")
FEATURES = ("ids", "text", "both")
_CHUNK = 1024  # histories at a time
_SLOPE = 0.2  # of the leaky rectifier below 0, as torch-geometric has it


@dataclass(frozen=True)
class GraphOptions(Options):
    """Options of `Graph`."""

    layer: str = word("lightgcn", *LAYERS)
    """Layer that makes messages: lightgcn, gcn or gat."""
    features: str = word("both", *FEATURES)
    """Items before any message: learned vectors ("ids"), projected text vectors ("text"), or their sum ("both")."""
    size: int = number(64, 1, 4096)
    """Width of node vectors; `encode` adds one for the bias."""
    rounds: int = number(1, 0, 8)
    """Times that items hear from users; users hear from items once more."""
    heads: int = number(2, 1, 64)
    """Heads of the attention of gat; `size` is a multiple of them."""
    weights: str = word("completion", *WEIGHTS)
    """Weight of an edge: the share consumed, or 1 ("binary")."""
    loss: str = word("softmax", *LOSSES)
    """Loss of an edge against all items drawn ("softmax"), or one of them ("bpr")."""
    negatives: int = number(500, 0, 10**7)
    """Items drawn in a step; 0 for all."""
    l2: float = number(1e-3, 0.0, 1e3)
    """Weight of the squared length of the items' features in the loss."""
    epochs: int = number(30, 1, 100_000)
    """Passes over the edges at most."""
    batch_size: int = number(4096, 1, 10**6)
    """Edges of a step, half of all at most. Each step passes messages on the whole graph: few and large are quick."""
    learning_rate: float = number(0.02, 1e-8, 10.0)
    """Learning rate at its highest."""
    patience: int = number(4, 1, 100_000)
    """Epochs without a better validation score after which it stops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer == "gat" and self.size % self.heads:
            raise EncoderError(f"size = {self.size} is no multiple of heads = {self.heads}; change one of them")


class Graph(Encoder):
    """Node vectors of the graph whose edges say who consumed what; see `Propagation`.

    A user has no vector but for what comes from items, so a history that was never met is encoded as a user of the log
    would be who consumed just that: by one message from the items' vectors of each round. Items without an edge have no
    learned vector: they are what their text says, or zeros with ``features="ids"``, and the least popular.
    """

    options_type: ClassVar[type[Options]] = GraphOptions
    _tables: dict[str, NDArray[np.float32]]

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        from .propagation import Propagation  # torch-geometric takes seconds, and is needed to fit alone

        options = dataclasses.asdict(self.options)
        matrix = build_log_matrix(log, self.options.weights)
        names = ("layer", "features", "loss", "size", "rounds", "heads", "negatives", "l2")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            texts = pad_vectors(normalise_rows(self.items.vectors))
            network = Propagation(matrix, texts, **{name: options[name] for name in names})
        judge = None
        if validation is not None:
            cases = find_validation_cases(log, validation)
            judge = ValidationRecall(self, cases, lambda: self._keep_tables(network))
        edges, schedule = len(matrix.data), Schedule.from_options(self.options)
        # The edges of a step bear no messages: were they all, none would be left to learn from.
        schedule = dataclasses.replace(schedule, batch_size=min(schedule.batch_size, max(1, edges // 2)))
        train_network(
            network,
            _Edges(edges),
            schedule,
            seed=seed,
            score=judge,
            collate=lambda edges: {"edge": torch.tensor(edges)},
            folder=folder,
            about=self._describe_fit(log, validation),
            report=report,
        )
        self._keep_tables(network)

    @torch.no_grad()
    def _keep_tables(self, network: Propagation) -> None:
        """Keep what histories need: the items' vectors, and the messages that they send to users."""
        from .propagation import extract_attention_tables

        states, _ = network.propagate()
        scale, convs = network.sharpness.exp(), list[Any](network.to_user)
        tables = {"items": torch.cat([network.readout(states), network.compute_item_bias()[:, None]], dim=1)}
        if network.layer == "gat":
            tables |= {"features": states[0], "scale": (scale / len(states))[None]}
            for level, (conv, items) in enumerate(zip(convs, states, strict=True)):
                for name, table in extract_attention_tables(conv, items).items():
                    tables[f"{name}.{level}"] = table
        else:
            sent = states
            if network.layer == "gcn":
                sent = [conv.lin(items) for conv, items in zip(convs, states, strict=True)]
            tables["messages"] = network.readout(sent) * scale * network.degree.rsqrt()[:, None]
        self._tables = {name: np.ascontiguousarray(table.numpy()) for name, table in tables.items()}
        self._tables["items"][0] = 0.0
        self.width = network.size + 1

    def _encode(self, histories: Histories) -> Vectors:
        vectors = np.ones((len(histories["history_ids"]), self.width), np.float32)
        for chunk, messages, _ in self._compute_messages(histories):
            vectors[chunk, :-1] = messages.sum(axis=1)
        return vectors

    def _item_vectors(self) -> Vectors:
        return self._tables["items"]

    def contributions(self, histories: Histories, item: NDArray[np.int64]) -> Vectors:
        """What each entry's message adds to the score: with the item's bias they sum to it.

        Exact, the history's length and, for gat, the attention being held as they are: the score is linear in the
        messages. Attention alone says how much is heard of an entry, not whether it speaks for the item or against.
        """
        self.encode(histories)  # which checks them
        shares = np.zeros(histories["history_ids"].shape, np.float32)
        for chunk, messages, _ in self._compute_messages(histories):
            shares[chunk] = (messages @ self._tables["items"][item[chunk], :-1, None])[:, :, 0]
        return shares

    def attention(self, histories: Histories) -> Vectors:
        """How much is heard of each entry (B, H): the mean over heads and rounds; a row sums to 1, or 0 if empty.

        An item that comes twice is heard twice.

        Raises
        ------
        EncoderError
            If `layer` is another than gat.
        """
        if self.options.layer != "gat":
            raise EncoderError(f"layer = {self.options.layer!r} has no attention; allowed: 'gat'")
        self.encode(histories)  # which checks them
        return np.concatenate([heard for _, _, heard in self._compute_messages(histories)])

    def nearest_items(self, item: int, k: int = 10) -> tuple[NDArray[np.int64], Vectors]:
        """The k nearest items of an item by the cosine of their vectors, bias aside, and the cosines."""
        self._check_fitted()
        if not 1 <= item <= len(self.items):
            raise EncoderError(f"item {item} is unknown; items are 1 to {len(self.items)}")
        unit = normalise_rows(self._tables["items"][:, :-1])
        cosine = unit @ unit[item]
        cosine[[0, item]] = -np.inf
        order = np.argsort(-cosine, kind="stable")[: min(k, len(self.items) - 1)]
        return order, cosine[order]

    def _compute_messages(self, histories: Histories) -> Iterator[tuple[slice, Vectors, Vectors]]:
        """Of some histories at a time: which, the message of each entry (b, H, D), how much of it is heard (b, H)."""
        weights = compute_entry_weights(histories, self.options.weights)
        for start in range(0, max(len(weights), 1), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            ids, weight = histories["history_ids"][chunk].astype(np.int64), weights[chunk]
            strength = weight.sum(axis=1, keepdims=True)
            strength[strength == 0.0] = 1.0
            if self.options.layer == "gat":
                yield chunk, *self._attend(ids, weight, weight / strength)
            else:
                heard = weight / np.sqrt(strength)
                yield chunk, heard[:, :, None] * self._tables["messages"][ids], heard

    def _attend(self, ids: NDArray[np.int64], weight: Vectors, share: Vectors) -> tuple[Vectors, Vectors]:
        """Messages (b, H, D) and mean attention (b, H)."""
        tables, real = self._tables, (weight > 0.0)[:, :, None]
        user = (share[:, None, :] @ tables["features"][ids])[:, 0]
        messages = np.zeros((*ids.shape, self.width - 1), np.float32)
        heard = np.zeros(ids.shape, np.float32)
        for level in range(self.options.rounds + 1):
            logit = tables[f"source.{level}"][ids] + (user[:, None, :] @ tables[f"target.{level}"])
            logit = logit + weight[:, :, None] * tables[f"edge.{level}"]
            logit = np.where(real, np.where(logit > 0.0, logit, _SLOPE * logit), -np.inf)
            highest = np.where(real.any(axis=1), logit.max(axis=1), 0.0)
            odds = np.exp(logit - highest[:, None])
            attention = odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-16)
            sent = (attention[:, :, :, None] * tables[f"values.{level}"][ids]).reshape(messages.shape)
            user = sent.sum(axis=1)
            messages += sent * tables["scale"]
            heard += attention.mean(axis=2) / np.float32(self.options.rounds + 1)
        return messages, heard

    def _weights(self) -> dict[str, NDArray[Any]]:
        return dict(self._tables)

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._tables = dict(weights)
        self.width = self._tables["items"].shape[1]


class _Edges(Dataset[int]):
    """Numbers of edges."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


ENCODERS.register(
    "lightgcn",
    EncoderEntry(Graph, {"layer": "lightgcn"}),
    encoder="Graph",
    about="user-item graph, linear propagation",
    needs="torch_geometric",
)
ENCODERS.register(
    "gcn",
    EncoderEntry(Graph, {"layer": "gcn"}),
    encoder="Graph",
    about="user-item graph, convolutions",
    needs="torch_geometric",
)
ENCODERS.register(
    "gat",
    EncoderEntry(Graph, {"layer": "gat"}),
    encoder="Graph",
    about="user-item graph, attention",
    needs="torch_geometric",
)
