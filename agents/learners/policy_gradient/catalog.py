"""Plackett–Luce PPO over the whole catalogue: every item has a score, and no retriever chooses candidates.

``score(s, i) = ⟨u(s), e_i⟩ + b_i`` in a space of at most 32 dimensions, so a batch of users costs one product of
matrices. What the user sees and has consumed is summed up in the state; features of candidates are never computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from ....envs.engine import Observation
from ....envs.shared.options import number
from ...registry import AGENTS
from ...slates.click_losses import Shown, compute_click_losses
from ...slates.inputs import Inputs, SlateInputs
from ...slates.item_scores import score_slates
from ...slates.networks import HISTORY_LAST, fit_scale, make_two_layers, standardise
from ..training import LearnerEntry
from .candidates import Guide, PolicyAgent, compute_value_spread, split_parameters
from .ppo import PLPPO, PlackettLucePPOOptions
from .rollouts import Batch, Judgement

MOST_DIMENSIONS = 32


@dataclass
class CatalogBatch(Inputs):
    """A batch of users in front of all items; `ids` (B, N) is a view of one row, and `items` is empty.

    Attributes
    ----------
    history
        (B, H) int64 item numbers, 0 for none.
    """

    history: NDArray[np.int64]


class CatalogInputs(SlateInputs):
    """Observations to states alone; column i of a slate is item number i + 1.

    Parameters
    ----------
    inputs
        With the same states.
    """

    def __init__(self, inputs: SlateInputs) -> None:
        super().__init__(inputs.scorer, inputs.states)
        self.item_features = ("catalogue",)
        self.item_width = 0
        self.numbers = np.arange(1, len(inputs.scorer.static), dtype=np.int64)

    def __call__(self, observation: Observation) -> CatalogBatch:
        """States (B, S) and histories (B, H) for observations (B, ·); row b depends on row b alone."""
        state = self.states(observation)
        ids = np.broadcast_to(self.numbers, (len(state), len(self.numbers)))
        history = observation["history_ids"].astype(np.int64)
        return CatalogBatch(state, np.zeros((len(state), 0, 0), np.float32), ids, history)


@dataclass(frozen=True)
class CatalogOptions(PlackettLucePPOOptions):
    """Options of PPO over the whole catalogue: as of candidates, but smaller minibatches, and fewer passes."""

    minibatch: int = 256
    """Slates in a gradient step; a score for every item of each is kept until then."""
    epochs: int = 1
    """Passes over the slates of a rollout."""
    match: int = number(24, 1, MOST_DIMENSIONS)
    """Dimensions of the space in which users and items are matched."""


class CatalogNetwork(nn.Module):
    """Scores of all items, by users and items in one space, and values of states.

    Parameters
    ----------
    inputs
        For the width of states and the items' visible attributes.
    vectors
        (N + 1, E) text vectors of the items by number; neither these nor the attributes are saved with the weights.
    slots, options, gamma, guide
        As of `longplay.agents.learners.policy_gradient.candidates.CandidateNetwork`.
    """

    mean_state: Tensor
    scale_state: Tensor
    described: Tensor

    def __init__(
        self,
        inputs: SlateInputs,
        vectors: NDArray[np.float32],
        slots: int,
        options: PlackettLucePPOOptions,
        gamma: float,
        guide: float | None,
    ) -> None:
        super().__init__()
        width, hidden, match = inputs.state_width, options.hidden, options.match
        self.heads = 1 if guide is None else 3
        self.match = match
        self._held: tuple[Tensor, Tensor] | None = None
        self._scores = torch.empty(0, 0)  # memory for those of held items, which the next judgement writes over
        self.register_buffer("mean_state", torch.zeros(width))
        self.register_buffer("scale_state", torch.ones(width))
        self.register_buffer("described", torch.from_numpy(describe_items(inputs, vectors)), persistent=False)
        self.trunk, self.judge_trunk = make_two_layers(width, hidden), make_two_layers(width, hidden)
        self.user = nn.Linear(hidden, self.heads * match)
        self.user_direct = nn.Linear(width, self.heads * match, bias=False)
        self.item = nn.Linear(self.described.shape[1], match, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.heads, self.described.shape[1]))  # b_i, of what is known of an item
        self.own = nn.Parameter(torch.zeros(self.heads, len(self.described)))  # b_i, of the item itself
        self.value = nn.Linear(hidden, 1)
        self.guide = None if guide is None else Guide(guide)
        self.position = nn.Parameter(torch.zeros(slots))
        self.avoid, self.spread = not options.repeats, compute_value_spread(gamma)
        for layer in (self.user, self.user_direct, self.value):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.user.bias)
        nn.init.zeros_(self.value.bias)

    @torch.no_grad()
    def calibrate(self, inputs: Inputs) -> None:
        """Take the scale of states from a sample; saved with the weights."""
        fit_scale(torch.from_numpy(inputs.state), self.mean_state, self.scale_state)

    @property
    def slate(self) -> "CatalogNetwork":
        """What is calibrated: this."""
        return self

    def read(self, inputs: Inputs) -> Batch:
        """State (B, S) and history (B, H)."""
        assert isinstance(inputs, CatalogBatch)
        return {"state": torch.from_numpy(inputs.state), "history": torch.from_numpy(inputs.history)}

    @contextmanager
    def holding_items(self) -> Iterator[None]:
        """Place all items once for all judgements inside, of which each is lost with the next; no weight moves."""
        with torch.no_grad():
            self._held = self._items()
        try:
            yield
        finally:
            self._held = None

    def judge(self, batch: Batch) -> Judgement:
        """Scores (B, N) and values."""
        if self._held is None:
            return self._judge(batch, *self._items())
        shape = (len(batch["state"]), len(self.described))
        if self._scores.shape != shape:
            self._scores = torch.empty(shape)
        return self._judge(batch, *self._held, out=self._scores)

    def judge_plainly(self, batch: Batch) -> Judgement:
        """`judge`, whose formula agents play by, too: a saved policy shows the same slates to the bit."""
        return self._judge(batch, *self._items())

    def _judge(self, batch: Batch, items: Tensor, biases: Tensor, out: Tensor | None = None) -> Judgement:
        state, users = self._users(batch)
        query, bias = users[:, 0], biases[0]
        if self.guide is not None:
            # The guide is as linear in the items as the scores are: one product gives their sum.
            query = query + self.guide(users[:, 1] + users[:, 2])
            bias = bias + self.guide(biases[1] + biases[2])
        scores = torch.addmm(bias, query, items.T, out=out)
        if self.avoid:
            history = batch["history"]  # numbers are columns + 1
            scores = scores.scatter_add_(1, (history - 1).clamp(min=0), -HISTORY_LAST * (history > 0))
        return Judgement(scores, self._rate(state))

    def rate(self, batch: Batch) -> Tensor:
        """Values (B,) alone."""
        return self._rate(standardise(batch["state"], self.mean_state, self.scale_state))

    def _rate(self, state: Tensor) -> Tensor:
        values: Tensor = self.value(self.judge_trunk(state))[:, 0] * self.spread
        return values

    def shown(self, batch: Batch) -> Batch:
        """What `respond` needs of slates ``batch["columns"]`` (B, K)."""
        return {name: batch[name] for name in ("state", "columns")}

    def respond(self, shown: Batch) -> tuple[Tensor, Tensor]:
        """(B, K) logits of choosing each item of slates, and logarithms of the minutes it would hold."""
        columns = shown["columns"]
        queries, nothing = self._query(shown), columns.new_zeros(*columns.shape, 0).float()
        heads = score_slates(queries, queries.new_zeros(len(queries), 2, 1), self.described, nothing, columns, -1)
        heads = heads + self.own[1:, columns].transpose(0, 1)
        return heads[:, 0] + self.position, heads[:, 1]

    def lose(self, shown: Batch, choice: Tensor, minutes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean losses of what `respond` says, of the slots chosen (B,), −1 for none, and of their minutes (B,)."""
        columns = shown["columns"]
        slates = Shown(columns.new_zeros(*columns.shape, 0).float(), columns, -1, choice, minutes)
        queries = self._query(shown)
        constants = queries.new_zeros(len(queries), 2, 1)
        return compute_click_losses(queries, constants, self.own[1:], self.position, self.described, slates)

    def _query(self, shown: Batch) -> Tensor:
        """(B, 2, D) of the guide: what is known of items is projected to the user's side, a vector a user."""
        _, users = self._users(shown)
        return linear(users[:, 1:], self.item.weight.T) + self.bias[1:]

    def _users(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scaled states (B, S), and places (B, heads, match) in the space of users and items."""
        state = standardise(batch["state"], self.mean_state, self.scale_state)
        users = self.user(self.trunk(state)) + self.user_direct(state)
        return state, users.view(len(state), self.heads, self.match)

    def _items(self) -> tuple[Tensor, Tensor]:
        """Places (N, match) of the items, and biases (heads, N)."""
        return self.item(self.described), self.bias @ self.described.T + self.own

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the policy, and of the value."""
        return split_parameters(self, ("judge_trunk.", "value."))


def make_agent(
    inputs: CatalogInputs, vectors: NDArray[np.float32], slots: int, options: CatalogOptions, gamma: float, name: str
) -> PolicyAgent:
    """An untrained agent, to load weights into."""
    guide = options.guide if options.auxiliary > 0 else None
    return PolicyAgent(CatalogNetwork(inputs, vectors, slots, options, gamma, guide), inputs, slots, name)


class CatalogPPO(PLPPO):
    """Plackett–Luce PPO over the whole catalogue, on players with `CatalogInputs`; constructed as `PLPPO`."""

    make_agent = staticmethod(make_agent)


def describe_items(inputs: SlateInputs, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) of each item: its text vector, standardised attributes and topics."""
    static = inputs.scorer.static[1:]
    scaled = (static - static.mean(axis=0)) / np.maximum(static.std(axis=0), 1e-6)
    return np.concatenate([vectors[1:], scaled, inputs.scorer.topics[1:]], axis=1).astype(np.float32)


AGENTS.register(
    "pl-ppo-catalog",
    LearnerEntry(
        CatalogPPO,
        CatalogOptions,
        title="PL-PPO catalogue",
        about="Plackett–Luce PPO over the whole catalogue",
        sees_features=False,
        sees_candidates=False,
        change_inputs=CatalogInputs,
    ),
)
