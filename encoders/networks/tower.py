"""Two towers: users and items through one BERT and a head each, so that their cosine says what a user will choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...envs.candidates.pooling import pad_vectors
from ...envs.shared.options import Options, number, word
from ...envs.shared.progress import ProgressCallback
from ...envs.shared.words import keep_words
from ..base import Encoder, EncoderError, Histories, Items
from ..data.interactions import Interactions
from ..histories.frozen import HistoryReader, check_same_model, normalise_rows
from ..measures.evaluation import find_validation_cases
from ..registry import ENCODERS, EncoderEntry
from ..text.cache import Vectors
from ..text.model_folder import DEFAULT_MODEL, ModelFolder, refuse_vectors_alone
from .early_stopping import ValidationRecall
from .fitting import Schedule, train_network
from .split_bert import SplitBert, States, read_item_states
from .tower_network import Pairs, TowerNetwork, weigh_history


@dataclass(frozen=True)
class TowerOptions(Options):
    """Options of `Tower`."""

    model: str | None = None
    """A BERT by alias, folder or hub name; by default the one that made the items' vectors, or else minilm."""
    trained_layers: int = number(1, 0, 100)
    """Upper layers of BERT that learn; 0 trains the heads alone, on the items' own vectors."""
    tokens: int = number(64, 3, 100_000)
    """Tokens that are read of a text, where BERT learns or users are texts."""
    user: str = word("pooled", "pooled", "text")
    """What a user is: the history's items "pooled", or its "text"."""
    told: int = number(6, 1, 1000)
    """Items that a user's text tells at most."""
    words: int = number(8, 1, 10_000)
    """Words of an item that a user's text tells; items' texts begin with the title, as a rule."""
    width: int = number(128, 1, 10_000)
    """Width of the vectors."""
    history: int = number(20, 1, 1000)
    """Items of a history that are learnt from."""
    loss: str = word("contrastive", "contrastive", "binary")
    """What is foretold: the item consumed among the batch's ("contrastive"), or whether it was liked ("binary")."""
    negatives: float = number(4.0, 0.0, 1e6)
    """Rows not liked for each liked one, at most, in the binary loss."""
    hard_negatives: int = number(0, 0, 1000)
    """Negatives a row from what the user was shown and did not open or, without such rows, from near neighbours."""
    popularity_bias: bool = False
    """Whether scores gain a learned multiple of the logarithm of how often an item was consumed."""
    rows: int = number(100_000, 1, 10**9)
    """Rows to learn from at most; drawn evenly where there are more."""
    epochs: int = number(6, 1, 100_000)
    """Passes over the rows in which the heads learn alone, at most."""
    batch_size: int = number(256, 1, 10**6)
    """Rows in a step of the heads alone."""
    learning_rate: float = number(1e-3, 1e-8, 10.0)
    """Learning rate of the heads alone."""
    tuning_epochs: int = number(3, 1, 100_000)
    """Passes over the rows in which BERT learns, too, at most."""
    tuning_batch: int = number(1024, 1, 10**6)
    """Rows in a step in which BERT learns, too."""
    run_items: int = number(128, 1, 10**6)
    """Items of a batch that BERT runs and learns from, most of the cost; of the others it gives the last vectors."""
    tuning_rate: float = number(5e-4, 1e-8, 10.0)
    """Learning rate of BERT and heads together."""
    patience: int = number(2, 1, 100_000)
    """Epochs without a better validation score after which it stops."""
    memory: int = number(16_384, 1, 10**9)
    """Histories whose text vectors are kept, those met last."""


class Tower(Encoder):
    """Two-tower fine-tuning: unit vectors of users and items by a shared BERT and a linear head each.

    Training has two parts. The heads learn on BERT's vectors as they are, which takes seconds; then the upper layers
    learn with them. The lower layers run once for each text, and their outputs are kept in memory. The weights that
    scored best on the validation rows, recall@10, stay.

    The contrastive loss is the softmax over a batch's items with the correction for sampling bias of Yi et al. (2019,
    "Sampling-bias-corrected neural modeling for large corpus item recommendations"), without what the user also
    consumed. Scores are cosines times a learned scale, plus a bias where asked for.

    A "pooled" user is the mean of the history's item vectors, with learned weights of recency and completion, through
    the head: a table is looked up, and no BERT runs in the training loop of an agent. A "text" user is the history
    told in English (`behaviour_to_text`), through BERT: a pass for each history not met lately.

    Notes
    -----
    Recall@10 of warm users on one split (seed 0) of a simulated log (1,000 films, 3,000 users, random slates) and of
    MovieTweetings (4,904 films): popularity 0.020 and 0.127, frozen vectors 0.024 and 0.008, heads alone 0.096 and
    0.159 (15 and 10 s of one core). Tuning one layer at the default rate raises the simulated log's to 0.117, and of
    cold items from 0.25 to 0.36 (107 s); on MovieTweetings the heads' weights scored best on validation and stayed.
    Text users cost ten times as much and reached 0.030 with heads on 10,000 rows. Hard negatives, a popularity bias
    (either within 0.003 of 0.096) and the binary loss (0.064) did not help the ranking of warm users.
    ``scripts/studies/encoders/study.py`` measures all this anew, with intervals.
    """

    options_type: ClassVar[type[Options]] = TowerOptions

    def __init__(self, items: Items, options: TowerOptions | None = None) -> None:
        super().__init__(items, options)
        if self.options.model is None:
            known = items.text_encoder
            self.options = replace(self.options, model=DEFAULT_MODEL if known is None else known.name)
        if self._reads_texts:
            refuse_vectors_alone(self.options.model)
        self._bert: SplitBert | None = None

    def _fit(
        self,
        log: Interactions,
        validation: Interactions | None,
        seed: int,
        folder: Path | None,
        report: ProgressCallback,
    ) -> None:
        options = self.options
        if self._reads_texts:
            check_same_model(self.items, options.model)
        pairs = Pairs(
            log, self._choose_rows(log, seed), options.history, self.items.vectors, options.hard_negatives, seed
        )
        bert = self._load_bert()
        table = self.items.vectors if bert is None else bert.encode(self._read_item_states(bert))
        self._make_network(bert, log, table, seed)
        user_texts = self._histories_to_texts(pairs.histories) if options.user == "text" else []
        if bert and user_texts:
            self._network.use_text_vectors(torch.from_numpy(bert.encode_uncached(user_texts)))
        judge = None
        if validation is not None:
            judge = ValidationRecall(self, find_validation_cases(log, validation, options.history), self._keep_tables)
        about = self._describe_fit(log, validation) | {"bert": bert and bert.identity}
        common: dict[str, Any] = {"seed": seed, "score": judge, "collate": pairs.collate, "report": report}
        schedule = self._make_schedule(options.epochs, options.batch_size, options.learning_rate)
        about["part"] = "heads"
        curve = train_network(self._network, pairs, schedule, folder=folder and folder / "heads", about=about, **common)
        if bert and options.trained_layers:
            before = {name: weight.clone() for name, weight in self._network.state_dict().items()}
            self._network.tune_bert(bert, self._read_item_states(bert), user_texts)
            schedule = self._make_schedule(options.tuning_epochs, options.tuning_batch, options.tuning_rate)
            about["part"] = "bert"
            tuned = train_network(
                self._network, pairs, schedule, folder=folder and folder / "bert", about=about, **common
            )
            if judge and _find_best_score(tuned) < _find_best_score(curve):
                self._network.load_state_dict(before)
        self._keep_tables()

    def _choose_rows(self, log: Interactions, seed: int) -> NDArray[np.int64]:
        """Rows of the log to learn from, ascending."""
        rng = np.random.default_rng([seed, 1])
        rows = np.flatnonzero(log.consumed)
        if self.options.loss == "binary":
            rows, others = np.flatnonzero(log.liked), np.flatnonzero(~log.liked)
            if not len(rows) or not len(others):
                raise EncoderError(
                    f"the log has {len(rows)} liked rows and {len(others)} others; loss = 'binary' needs both"
                )
            most = min(len(others), max(1, int(self.options.negatives * len(rows))))
            rows = np.concatenate([rows, rng.choice(others, most, replace=False)])
        if len(rows) > self.options.rows:
            rows = rng.choice(rows, self.options.rows, replace=False)
        return np.sort(rows)

    @property
    def _reads_texts(self) -> bool:
        """Whether BERT is needed, to learn along or to read users."""
        return bool(self.options.trained_layers > 0 or self.options.user == "text")

    def _load_bert(self) -> SplitBert | None:
        """BERT, where it is needed."""
        options = self.options
        if not self._reads_texts:
            return None
        return SplitBert(options.model, options.trained_layers, options.tokens)

    def _read_item_states(self, bert: SplitBert) -> States:
        return read_item_states(self.options.model, self.options.trained_layers, self.options.tokens, self.items.texts)

    def _make_network(self, bert: SplitBert | None, log: Interactions, table: Vectors, seed: int) -> None:
        """Make the network, its heads drawn."""
        popularity = np.zeros(log.items + 1, np.float32)
        if self.options.popularity_bias:
            popularity = np.log1p(np.bincount(log.item[log.consumed], minlength=log.items + 1)).astype(np.float32)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._network = TowerNetwork(
                torch.from_numpy(pad_vectors(normalise_rows(table))),
                self.options.width,
                self.options.loss == "binary",
                torch.from_numpy(popularity),
                None if bert is None else bert.upper,
                self.options.run_items,
            )
        self._bert = bert

    def _make_schedule(self, epochs: int, batch_size: int, learning_rate: float) -> Schedule:
        return Schedule(epochs, batch_size, learning_rate, patience=self.options.patience)

    @torch.no_grad()
    def _keep_tables(self) -> None:
        """Keep what histories and scores need: a table of the items, and how a history becomes a user."""
        network = self._network
        if self._bert is not None and network.tunes_bert:
            network.table[1:] = torch.from_numpy(self._bert.encode(self._read_item_states(self._bert)))
        items = network.log_scale.exp() * network.encode_items(network.table)
        if self.options.popularity_bias or self.options.loss == "binary":
            items = torch.cat([items, network.compute_item_bias()[:, None]], dim=1)
        items[0] = 0.0
        tables = {"items": items, "head.bias": network.user_head.bias}
        if self.options.user == "text":
            tables |= {"head.weight": network.user_head.weight}
            tables |= {f"upper.{name}": weight for name, weight in network.upper.state_dict().items()}
        else:
            tables |= {"memory": network.memory, "values": network.table @ network.user_head.weight.T}
        self._restore({name: table.detach().numpy().copy() for name, table in tables.items()})

    def _restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._tables = {name: torch.from_numpy(np.array(weight)) for name, weight in weights.items()}
        self.width = weights["items"].shape[1]
        self._reader: HistoryReader | None = None  # what it remembers is of another BERT

    def _weights(self) -> dict[str, NDArray[Any]]:
        return {name: table.numpy() for name, table in self._tables.items()}

    def _item_vectors(self) -> Vectors:
        return np.asarray(self._tables["items"].numpy())

    @torch.no_grad()
    def _encode(self, histories: Histories) -> Vectors:
        users = self._read_users(histories) if self.options.user == "text" else self._pool_users(histories)
        vectors = torch.ones(len(users), self.width)
        vectors[:, : self.options.width] = torch.nn.functional.normalize(users, dim=1)
        return np.asarray(vectors.numpy())

    def _pool_users(self, histories: Histories) -> torch.Tensor:
        ids, completion, age = (
            torch.from_numpy(np.asarray(histories[f"history_{name}"], np.float32))
            for name in ("ids", "completion", "age")
        )
        weights = weigh_history(self._tables["memory"], ids, completion, age)
        # Not a matrix product, whose order of summation would change with the number of rows.
        return (weights[:, :, None] * self._tables["values"][ids.long()]).sum(dim=1) + self._tables["head.bias"]

    def _read_users(self, histories: Histories) -> torch.Tensor:
        if self._reader is None:
            bert = self._bert = self._bert or self._load_bert()
            assert bert is not None
            upper = {name[6:]: table for name, table in self._tables.items() if name.startswith("upper.")}
            bert.upper.load_state_dict(upper)
            self._reader = self._make_reader(bert)
        texts = torch.from_numpy(self._reader(histories))
        return texts @ self._tables["head.weight"].T + self._tables["head.bias"]

    def _header(self) -> dict[str, object]:
        header = super()._header()
        if self.options.user == "text":  # BERT's lower layers read users, and are not among the weights
            header["bert"] = ModelFolder.find(self.options.model).content_hash()
        return header

    def _make_reader(self, bert: SplitBert) -> HistoryReader:
        options = self.options
        short = tuple(keep_words(text, options.words).rstrip(",;:，；：、") for text in self.items.texts)
        return HistoryReader(short, bert.encode_uncached, bert.width, options.told, options.memory)

    def _histories_to_texts(self, histories: Histories) -> list[str]:
        """The histories as texts, as BERT reads them."""
        assert self._bert is not None, "which reads them"
        return self._make_reader(self._bert).to_texts(histories)


def _find_best_score(curve: list[dict[str, float]]) -> float:
    return max(row["score"] for row in curve if "score" in row)


ENCODERS.register("tower", EncoderEntry(Tower), encoder="Tower", about="two-tower fine-tuning of BERT")
ENCODERS.register(
    "tower-heads",
    EncoderEntry(Tower, {"trained_layers": 0}),
    encoder="Tower",
    about="two towers over a BERT that stays as it is",
)
