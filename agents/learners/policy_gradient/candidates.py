"""A Plackett–Luce policy over candidates: its settings, its network and its agent, whoever trains it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....envs.shared.options import Options, among, evenly, number
from ...options import ENTROPY, RATE
from ...playing.training_users import TrainingUsers
from ...slates.click_losses import Shown, compute_click_losses
from ...slates.inputs import Inputs, SlateInputs
from ...slates.networks import HISTORY_LAST, SlateNetwork
from ..learner import SlateAgent
from ..warm_up import join_inputs, show_random_slates
from .rollouts import Batch, Judge, Judgement

WARM_STEPS = 8  # of random slates, from which the scale of the inputs is taken
LONGEST = 100.0  # slates that values look ahead, at most


@dataclass(frozen=True)
class PolicyOptions(Options):
    """Options that the learners of slate policies share."""

    rollout: int = number(32, 1, 10**6, search=among(8, 16, 32, 64))
    """Slates for each user between two updates."""
    minibatch: int = number(1024, 2, 10**9)
    """Slates in a gradient step."""
    epochs: int = number(4, 1, 1000, search=evenly(1, 10))
    """Passes over the slates of a rollout."""
    learning_rate: float = number(1e-3, 1e-8, 1.0, search=RATE)
    """Learning rate of the optimiser."""
    gae_lambda: float = number(0.95, 0.0, 1.0, search=evenly(0.5, 1.0))
    """λ of the advantages: from 0, values of the next state, to 1, whole returns."""
    by_time: bool = False
    """Discount by days away and not at all within a session, instead of by slates."""
    max_grad_norm: float = number(0.5, 1e-6, 1e6)
    """Largest norm of the gradient of the policy, and of that of the value."""
    entropy: float = number(0.01, 0.0, 100.0, search=ENTROPY)
    """Bonus for each nat of the first slot's entropy."""
    hidden: int = number(64, 1, 4096)
    """Width of the hidden layers."""
    match: int = number(16, 0, 32)
    """Dimensions of the space in which users and items are matched; 0 leaves the texts out."""
    repeats: bool = False
    """Whether items of the history are weighed against the rest; otherwise they come last."""


class CandidateNetwork(nn.Module):
    """A `SlateNetwork` whose policy may be guided; parameters of the value are its own.

    Parameters
    ----------
    inputs
        For the widths.
    vectors
        (N + 1, E) text vectors of the items by number.
    slots
        K, each with an intercept of its own in the model of choice.
    gamma
        Values are in units of the square root of how many slates it looks ahead.
    guide
        Multiple of the guide at first; None for no guide.
    """

    def __init__(
        self,
        inputs: SlateInputs,
        vectors: NDArray[np.float32],
        slots: int,
        options: PolicyOptions,
        gamma: float,
        guide: float | None,
    ) -> None:
        super().__init__()
        heads = 1 if guide is None else 3
        widths = {"hidden": options.hidden, "match": options.match}
        self.slate = SlateNetwork(inputs.state_width, inputs.item_width, vectors, heads=heads, **widths)
        self.guide = None if guide is None else Guide(guide)
        self.position = nn.Parameter(torch.zeros(slots))
        self.avoid, self.repeated = not options.repeats, inputs.item_features.index("repeated")
        self.spread = compute_value_spread(gamma)

    def read(self, inputs: Inputs) -> Batch:
        """State (B, S), items (B, M, F), ids (B, M), and the mean candidate (B, F)."""
        parts = {"state": inputs.state, "items": inputs.items, "ids": inputs.ids}
        batch = {name: torch.from_numpy(part) for name, part in parts.items()}
        return batch | {"mean": self.slate.average(batch["items"], batch["ids"])}

    def holding_items(self) -> AbstractContextManager[None]:
        """Place all items once for all judgements inside, while no weight moves."""
        return self.slate.holding_items()

    def judge(self, batch: Batch) -> Judgement:
        """Scores and values."""
        items, ids = batch["items"], batch["ids"]
        sight = self.slate.see(self._scale(batch))
        weights, users = sight.weights[:, :1], sight.users[:, :1]
        if self.guide is not None:
            # Scores are linear in both, so one pass over the candidates gives their sum.
            weights = weights + self.guide(sight.weights[:, 1:2] + sight.weights[:, 2:])
            users = users + self.guide(sight.users[:, 1:2] + sight.users[:, 2:])
        scores = self.slate.score(weights, users, items, ids)[:, 0] - self.held_back(batch)
        return Judgement(scores, self.slate.rate(sight.whole)[0] * self.spread)

    def judge_plainly(self, batch: Batch) -> Judgement:
        """`judge` by the plain formula, by which agents play: a saved policy shows the same slates to the bit."""
        heads, values = self.slate(batch["state"], batch["items"], batch["ids"])
        scores = heads[0]
        if self.guide is not None:
            # An infinite logit times 0 or less is no score.
            scores = scores + self.guide((heads[1] + heads[2]).masked_fill(batch["ids"] == 0, 0.0))
        return Judgement(scores - self.held_back(batch), values[0] * self.spread)

    def rate(self, batch: Batch) -> Tensor:
        """Values (B,) alone."""
        return self.slate.rate(self._scale(batch))[0] * self.spread

    def _scale(self, batch: Batch) -> Tensor:
        mean = batch["mean"] if "mean" in batch else self.slate.average(batch["items"], batch["ids"])
        return self.slate.scale(batch["state"], mean)

    def shown(self, batch: Batch) -> Batch:
        """What `respond` needs of slates ``batch["columns"]`` (B, K): their users, and the items."""
        items, ids, columns = (batch[name] for name in ("items", "ids", "columns"))
        items = items.gather(1, columns[:, :, None].expand(-1, -1, items.shape[2]))
        ids = ids.gather(1, columns)
        scaled = self.slate.scaled(items, ids)
        return {"whole": self._scale(batch), "scaled": scaled, "ids": ids}

    def respond(self, shown: Batch) -> tuple[Tensor, Tensor]:
        """(B, K) logits of choosing each item of slates, and logarithms of the minutes it would hold."""
        _, weights, users = self.slate.see(shown["whole"], first=1)
        heads = self.slate.score_few(weights, users, shown["scaled"], shown["ids"])
        return heads[:, 0] + self.position, heads[:, 1]

    def lose(self, shown: Batch, choice: Tensor, minutes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean losses of what `respond` says, of the slots chosen (B,), −1 for none, and of their minutes (B,)."""
        _, weights, users = self.slate.see(shown["whole"], first=1)
        queries, table = self.slate.project(users), self.slate.table
        slates = Shown(shown["scaled"], shown["ids"], 0, choice, minutes)
        return compute_click_losses(queries, weights, queries.new_zeros(2, 0), self.position, table, slates)

    def held_back(self, batch: Batch) -> Tensor:
        """(B, M) taken off the scores of the history's items, unless they are weighed against the rest."""
        return HISTORY_LAST * (self.avoid * batch["items"][:, :, self.repeated])

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the policy, and of the value."""
        return split_parameters(self, ("slate.judge.", "slate.value."))


class Guide(nn.Module):
    """Multiplies by a positive number that is learnt: in steps of a percent where the learning rate is a thousandth.

    Parameters
    ----------
    factor
        What it multiplies by at first.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first = factor
        self.power = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """A multiple of `x`."""
        return x * self.first * torch.exp(10.0 * self.power)


def compute_value_spread(gamma: float) -> float:
    """A scale for values: the root of how many slates they sum up, so that few steps reach them and none overshoots."""
    return float(np.sqrt(min(1.0 / max(1.0 - gamma, 1e-9), LONGEST)))


def split_parameters(module: nn.Module, of_value: tuple[str, ...]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters whose names do not begin as those of the value do, and those whose names do."""
    named = list(module.named_parameters())
    policy = [p for name, p in named if not name.startswith(of_value)]
    return policy, [p for name, p in named if name.startswith(of_value)]


class PolicyAgent(SlateAgent):
    """Shows the candidates with the largest scores, largest first: the most likely slate."""

    network: nn.Module

    def choose(self, inputs: Inputs) -> NDArray[np.int64]:
        """Columns (B, K)."""
        network: Judge = self.network  # type: ignore[assignment]  # it is both
        scores = network.judge_plainly(network.read(inputs)).scores
        columns = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, : self.slots]
        real = scores.gather(1, columns) > -torch.inf
        missing = (0, self.slots - columns.shape[1])
        return nn.functional.pad(torch.where(real, columns, -1), missing, value=-1).numpy()


def sample_inputs(players: TrainingUsers, slots: int, rng: np.random.Generator) -> Inputs:
    """What users see who are shown some random slates: a sample to take the scale of the inputs from."""

    def draw(inputs: Inputs) -> NDArray[np.int64]:
        noise = rng.random(inputs.ids.shape, np.float32) + (inputs.ids == 0)
        columns = np.argpartition(noise, slots - 1, axis=1)[:, :slots]
        return np.where(np.take_along_axis(inputs.ids, columns, axis=1) > 0, columns, -1)

    seen, _ = show_random_slates(players, WARM_STEPS, draw)
    return join_inputs([*seen, players.now])
