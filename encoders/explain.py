"""Why was this recommended? What of the history, and which attributes, make the score, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.cells import cell_len

from .base import Encoder, EncoderError, Histories, leave_one_out
from .text.cache import Vectors

SUM = "the terms of a sum: with the remainder they make the score"
LEFT_OUT = "by how much the score falls without it; effects overlap, so they need not make the score"
SHARED = "what the items of the history with this attribute contribute together; one may have several"
SHARED_LEFT_OUT = "by how much the score falls without all items of the history that have this attribute"
REWRITTEN = "by how much the score falls when the item's text is read without it"


@runtime_checkable
class Attentive(Protocol):
    """An encoder that attends to a history."""

    def attention(self, histories: Histories) -> Vectors:
        """Weight of each item of a history, (B, H); `EncoderError` where its options have none."""


@runtime_checkable
class Neighbourly(Protocol):
    """An encoder that knows which items are nearest."""

    def nearest_items(self, item: int, k: int = 10) -> tuple[NDArray[np.int64], Vectors]:
        """The at most k nearest items of an item, and their similarities; the nearest first."""


@dataclass(frozen=True)
class Reason:
    """An item of the history.

    Attributes
    ----------
    item : int
        Number of the item.
    title : str
        Title of the item.
    contribution : float
        What it adds to the score; below 0 where it speaks against the item.
    completion : float
        Share that was consumed.
    age : float
        Days since it was consumed.
    attention : float, optional
        Weight of the item, where the encoder attends to histories.
    """

    item: int
    title: str
    contribution: float
    completion: float
    age: float
    attention: float | None = None


@dataclass(frozen=True)
class Share:
    """Something by name, and how much it counts: an attribute, or a neighbour."""

    name: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score for a user.

    Attributes
    ----------
    user : int
        Row of the histories.
    item : int
        Number of the item recommended.
    title : str
    score : float
        As the encoder gives it: comparable between items of one user.
    history : tuple of Reason
        The largest contributions, whether for or against, first.
    method : str
        What a contribution is: `SUM`, or `LEFT_OUT`.
    remainder : float
        Score without all contributions: what no single item of the history accounts for, such as the item's own bias.
    attributes : tuple of Share
        The most telling ones first; empty where none were given.
    attribute_method : str
        What their values are: `SHARED`, `SHARED_LEFT_OUT` or `REWRITTEN`; ``""`` where there are none.
    neighbours : tuple of Share
        Nearest items to the one recommended, where the encoder knows them.
    """

    user: int
    item: int
    title: str
    score: float
    history: tuple[Reason, ...]
    method: str
    remainder: float
    attributes: tuple[Share, ...] = ()
    attribute_method: str = ""
    neighbours: tuple[Share, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def explain(
    encoder: Encoder,
    histories: Histories,
    items: Sequence[int] | NDArray[np.int64],
    titles: Sequence[str],
    attributes: Sequence[Sequence[str]] | None = None,
    effects: Callable[[int, int], Sequence[tuple[str, float]]] | None = None,
) -> list[Explanation]:
    """Explain one recommended item of each user.

    Parameters
    ----------
    encoder : Encoder
        Fitted.
    histories : mapping of str to array
        As `Encoder.encode` takes them, (B, H).
    items : (B,) int
        Item for each user, 1 to N; repeat a user's row to explain several.
    titles : sequence of str, length N
        What to call the items.
    attributes : sequence of N sequences of str, optional
        Labels of each item, such as topics. An attribute of the item counts what the items of the history that have it,
        too, contribute: their sum where contributions are `SUM`, otherwise by how much the score falls without all of
        them at once.
    effects : callable, optional
        Attributes' effects in another way, from row and item, such as `TextEffects`; goes before `attributes`.

    Raises
    ------
    EncoderError
        If an item is unknown, or lengths do not fit.

    Notes
    -----
    Contributions are the encoder's own where it says how its score adds up. Otherwise items are left out one at a time.
    """
    item = np.asarray(items, np.int64)
    _check_arguments(encoder, histories, item, titles, attributes)
    scores = encoder.score(histories)[np.arange(len(item)), item].astype(np.float64)
    shares = encoder.contributions(histories, item).astype(np.float64)
    attention, method = _find_attention(encoder, histories), _find_method(encoder, histories, item, scores, shares)
    of_shared = _AttributeEffects(encoder, histories, scores, shares, method)
    explanations = []
    for row, number in enumerate(item.tolist()):
        weights = None if attention is None else attention[row]
        labels, how = _list_attributes(row, number, of_shared, attributes, effects)
        explanations.append(
            Explanation(
                user=row,
                item=number,
                title=titles[number - 1],
                score=float(scores[row]),
                history=_list_reasons(row, histories, shares[row], titles, weights),
                method=method,
                remainder=float(scores[row] - shares[row].sum()),
                attributes=labels,
                attribute_method=how,
                neighbours=_list_neighbours(encoder, number, titles),
            )
        )
    return explanations


class TextEffects:
    """Effects of the parts of an item's text: it is read again without each.

    Only for encoders whose item vectors are those of the texts, such as `PooledHistory` and `TextHistory`. A part is a
    label that stands in the text, in any case of letters; one that does not is left out.

    Parameters
    ----------
    encoder : Encoder
        Encoder whose item vectors are ``vectors(texts)``, of unit length.
    histories : mapping of str to array
        As given to `explain`.
    labels : sequence of N sequences of str
        Parts of each item's text.
    vectors : callable
        Texts (n) to vectors (n, E), such as ``TextEncoder.encode``.
    """

    def __init__(
        self,
        encoder: Encoder,
        histories: Histories,
        labels: Sequence[Sequence[str]],
        vectors: Callable[[Sequence[str]], Vectors],
    ) -> None:
        self._users = encoder.encode(histories).astype(np.float64)
        self._texts, self._labels, self._vectors = encoder.items.texts, labels, vectors

    def __call__(self, row: int, item: int) -> list[tuple[str, float]]:
        """Parts of an item's text with their effects on the score for a row of the histories."""
        text = self._texts[item - 1]
        parts = [(label, remove_part(text, label)) for label in self._labels[item - 1]]
        parts = [(label, less) for label, less in parts if less not in ("", text)]
        if not parts:
            return []
        vectors = self._vectors([text, *(less for _, less in parts)]).astype(np.float64)
        scores = vectors @ self._users[row]
        return [(label, float(scores[0] - less)) for (label, _), less in zip(parts, scores[1:], strict=True)]


def remove_part(text: str, phrase: str) -> str:
    """The text without a part, in any case of letters; unchanged where the part does not stand in it.

    >>> remove_part("Alien (1979), a horror, science fiction film.", "Horror")
    'Alien (1979), a science fiction film.'
    >>> remove_part("《异形》（1979），恐怖、科幻电影。", "恐怖")
    '《异形》（1979），科幻电影。'
    """
    start = text.lower().find(phrase.lower()) if phrase.strip() else -1
    if start < 0:
        return text
    before, after = text[:start].rstrip(), text[start + len(phrase) :].lstrip()
    if after[:1] in tuple(",，、"):  # of a list, the comma goes with its part
        after = after[1:].lstrip()
    if after[:1] in tuple(".;:)。；：）"):
        return (before.rstrip(",，、") + after).strip()
    wide = cell_len(before[-1:] + after[:1]) > 2  # such as Chinese letters and marks, which no space parts
    return f"{before}{'' if wide and before == text[:start] else ' '}{after}".strip()


def to_table(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """One row a reason: ``user``, ``item``, ``title``, ``score``, ``kind``, ``name``, ``value``.

    ``kind`` is "history", "attribute", "neighbour" or "remainder".
    """
    rows = []
    for explanation in explanations:
        parts = [("history", reason.title, reason.contribution) for reason in explanation.history]
        parts += [("attribute", share.name, share.value) for share in explanation.attributes]
        parts += [("neighbour", share.name, share.value) for share in explanation.neighbours]
        rows += [
            (explanation.user, explanation.item, explanation.title, explanation.score, *reason)
            for reason in [*parts, ("remainder", "", explanation.remainder)]
        ]
    return pd.DataFrame(rows, columns=["user", "item", "title", "score", "kind", "name", "value"])


def _check_arguments(
    encoder: Encoder,
    histories: Histories,
    item: NDArray[np.int64],
    titles: Sequence[str],
    attributes: Sequence[Sequence[str]] | None,
) -> None:
    size = len(encoder.items)
    for name, sequences in (("titles", titles), ("attributes", attributes)):
        if sequences is not None and len(sequences) != size:
            raise EncoderError(f"there are {len(sequences)} {name} and {size} items; give one for each")
    rows = len(histories["history_ids"])
    if item.shape != (rows,):
        raise EncoderError(f"items have shape {item.shape}, there are {rows} histories; give one item for each")
    for number in item[(item < 1) | (item > size)][:1].tolist():
        raise EncoderError(f"item {number} is unknown; items are 1 to {size}")


def _find_attention(encoder: Encoder, histories: Histories) -> Vectors | None:
    try:
        return encoder.attention(histories) if isinstance(encoder, Attentive) else None
    except EncoderError:
        return None


def _find_method(
    encoder: Encoder,
    histories: Histories,
    item: NDArray[np.int64],
    scores: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> str:
    """`LEFT_OUT` if that is what the shares are, unless they also add up to what the history changes."""
    nothing = {name: np.zeros_like(array) for name, array in histories.items() if name.startswith("history_")}
    changed = scores - encoder.score({**histories, **nothing})[np.arange(len(item)), item]
    size = np.abs(scores).max(initial=1e-6)
    if np.allclose(shares.sum(axis=1), changed, atol=1e-4 * size):
        return SUM
    return LEFT_OUT if np.allclose(shares, leave_one_out(encoder, histories, item), atol=1e-4 * size) else SUM


def _list_reasons(
    row: int, histories: Histories, shares: NDArray[np.float64], titles: Sequence[str], weights: Vectors | None
) -> tuple[Reason, ...]:
    ids, completion, age = (histories[f"history_{name}"][row] for name in ("ids", "completion", "age"))
    present = np.flatnonzero(ids > 0)
    return tuple(
        Reason(
            item=int(ids[h]),
            title=titles[int(ids[h]) - 1],
            contribution=float(shares[h]),
            completion=float(completion[h]),
            age=float(age[h]),
            attention=None if weights is None else float(weights[h]),
        )
        for h in present[np.argsort(-np.abs(shares[present]), kind="stable")]
    )


class _AttributeEffects:
    """What the items of a history that have an attribute do to a score together."""

    def __init__(
        self,
        encoder: Encoder,
        histories: Histories,
        scores: NDArray[np.float64],
        shares: NDArray[np.float64],
        method: str,
    ) -> None:
        self._encoder, self._histories, self._scores, self._shares = encoder, histories, scores, shares
        self._ids = histories["history_ids"].astype(np.int64)
        self.how = SHARED if method == SUM else SHARED_LEFT_OUT

    def __call__(self, row: int, item: int, attributes: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
        """The item's attributes with their effects on its score for a row of the histories."""
        names = list(dict.fromkeys(attributes[item - 1]))
        owned = [set(attributes[number - 1]) if number else set() for number in self._ids[row].tolist()]
        masks = np.array([[name in theirs for theirs in owned] for name in names], np.bool_).reshape(
            len(names), len(owned)
        )
        effects = masks @ self._shares[row] if self.how == SHARED else self._leave_out(row, item, masks)
        return list(zip(names, effects.tolist(), strict=True))

    def _leave_out(self, row: int, item: int, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By how much the score falls (A,) without the places of a history that are held (A, H), the others staying."""
        if not masks.any():
            return np.zeros(len(masks))
        rows = {name: np.repeat(array[row : row + 1], len(masks), axis=0) for name, array in self._histories.items()}
        masked = {name: np.where(masks, 0, array) for name, array in rows.items() if name.startswith("history_")}
        return np.asarray(self._scores[row] - self._encoder.score({**rows, **masked})[:, item], np.float64)


def _list_attributes(
    row: int,
    item: int,
    of_shared: _AttributeEffects,
    attributes: Sequence[Sequence[str]] | None,
    effects: Callable[[int, int], Sequence[tuple[str, float]]] | None,
) -> tuple[tuple[Share, ...], str]:
    if effects is not None:
        pairs, how = list(effects(row, item)), REWRITTEN
    elif attributes is not None:
        pairs, how = of_shared(row, item, attributes), of_shared.how
    else:
        return (), ""
    return tuple(Share(name, value) for name, value in sorted(pairs, key=lambda pair: -abs(pair[1]))), how


def _list_neighbours(encoder: Encoder, item: int, titles: Sequence[str], count: int = 5) -> tuple[Share, ...]:
    if not isinstance(encoder, Neighbourly):
        return ()
    items, likeness = encoder.nearest_items(item, count)
    return tuple(
        Share(titles[number - 1], value) for number, value in zip(items.tolist(), likeness.tolist(), strict=True)
    )
