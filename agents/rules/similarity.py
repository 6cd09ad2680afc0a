"""Rules that show what is like the history: greedy similarity, and draws by a softmax of inner products."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...envs.candidates.pooling import pad_item_vectors, pool_history
from ...envs.candidates.scoring import Scorer
from ...envs.engine import Observation
from ...envs.shared.options import Options, logarithmically, number
from ..registry import RULES, Rule
from .ranking import make_generators, rank_candidates, read_feature


@dataclass
class GreedySimilarity:
    """The candidates whose text vectors have the largest cosine with the pooled history: greedy similarity."""

    scorer: Scorer
    name: str = "greedy similarity"
    privileged: bool = False

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Score by similarity."""
        return rank_candidates(self.scorer, observation, read_feature(self.scorer, observation, "similarity"))


@dataclass(frozen=True)
class SoftmaxOptions(Options):
    """Options of softmax."""

    temperature: float = number(0.05, 0.001, 10.0, search=logarithmically())
    """Temperature of the softmax; small is greedy."""


@dataclass
class Softmax:
    """Candidates drawn without repeats, by the softmax of the inner product of pooled history and item vector.

    The slate is the K largest of ``⟨history, item⟩ / temperature`` plus Gumbel noise, which is drawing one item after
    the other (Yellott, 1977). Unlike a cosine, the product grows with the length of the item's vector.

    Parameters
    ----------
    item_vectors
        Vectors (N, E) of the items, of any length.
    temperature
        Temperature of the softmax: towards 0 it is greedy, towards ∞ uniform.
    """

    scorer: Scorer
    item_vectors: NDArray[np.float32]
    temperature: float
    name: str = "softmax"
    privileged: bool = False

    def __post_init__(self) -> None:
        self._vectors = pad_item_vectors(self.item_vectors, len(self.scorer.static) - 1)

    def multiply(self, observation: Observation) -> NDArray[np.float64]:
        """Inner products (B, M) of pooled history and candidates."""
        history = (observation[f"history_{name}"] for name in ("ids", "completion", "age"))
        pooled = pool_history(self._vectors[1:], *history)
        out = np.zeros(observation["candidates"].shape)
        _products(pooled, self._vectors, observation["candidates"], out)
        return out

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Draw without repeats."""
        scores = self.multiply(observation) / self.temperature
        noise = np.stack([rng.gumbel(size=scores.shape[1]) for rng in make_generators(observation)])
        return rank_candidates(self.scorer, observation, scores + noise)


@njit(nogil=True, fastmath=True)
def _products(pooled: np.ndarray, vectors: np.ndarray, candidates: np.ndarray, out: np.ndarray) -> None:
    for b in range(len(candidates)):
        for m in range(candidates.shape[1]):
            vector = vectors[int(candidates[b, m])]
            total = np.float32(0.0)
            for e in range(len(vector)):
                total += pooled[b, e] * vector[e]
            out[b, m] = total


RULES.register(
    "similarity",
    Rule(
        kind=GreedySimilarity,
        title="greedy similarity",
        about="the largest cosines with the pooled history",
        build=lambda models, options: GreedySimilarity(models.scorer),
        note="BERT cosine to the pooled history",
        fresh="never",  # what others are held against
    ),
)
RULES.register(
    "similarity-fresh",
    Rule(
        kind=GreedySimilarity,
        title="greedy similarity, fresh",
        about="the largest cosines with the pooled history, nothing twice in a session",
        build=lambda models, options: GreedySimilarity(models.scorer),
        note="BERT cosine to the pooled history",
        fresh="always",
    ),
)
RULES.register(
    "softmax",
    Rule(
        kind=Softmax,
        title="softmax",
        about="drawn by the softmax of inner products with the pooled history",
        build=lambda models, options: Softmax(models.scorer, models.setting.item_vectors, options.temperature),
        options=SoftmaxOptions,
        note="temperature {temperature:.3g}",
    ),
)
