"""What a policy collects on its players: slates, what came of them, and how each is discounted."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...playing.training_users import TrainingUsers
from ...slates.inputs import Inputs
from ...slates.slate_draws import draw_among_many, draw_largest, log_slots
from .gae import gae

Batch = dict[str, Tensor]
MANY = 2048  # columns, above which slates are drawn slot by slot


@dataclass
class Judgement:
    """What a network says of B users: all are float32.

    Attributes
    ----------
    scores
        (B, M) of the candidates, for the policy; minus infinity for none.
    values
        (B,) of the states, in units of the reward.
    """

    scores: Tensor
    values: Tensor


class Judge(Protocol):
    """A network that policies are made of."""

    def read(self, inputs: Inputs) -> Batch:
        """What `judge` needs, as tensors (B, ·)."""
        ...

    def judge(self, batch: Batch) -> Judgement:
        """Scores and values."""
        ...

    def judge_plainly(self, batch: Batch) -> Judgement:
        """The same by the formula that agents play by."""
        ...

    def rate(self, batch: Batch) -> Tensor:
        """Values alone."""
        ...

    def holding_items(self) -> AbstractContextManager[None]:
        """Work out once what only items tell, for all judgements inside; no weight moves there."""
        ...


@dataclass
class Rollout:
    """T slates for each of B users, one after the other.

    Attributes
    ----------
    batch
        What the network read, (T, B, ·).
    columns
        (T, B, K) int64 shown.
    log_probabilities
        (T, B, K) of each slot given those above.
    values, next_values
        (T, B) where the slates were shown, and where they led; 0 after churn.
    choice
        (T, B) int64 slot consumed, −1 for none.
    rewards, discounts
        (T, B).
    going
        (T, B) 1 where the next row is the same life.
    """

    batch: Batch
    columns: Tensor
    log_probabilities: Tensor
    values: Tensor
    next_values: Tensor
    choice: Tensor
    rewards: Tensor
    discounts: Tensor
    going: Tensor

    def advantages(self, lambda_: float) -> Tensor:
        """(T, B) by `gae`."""
        return gae(self.rewards, self.discounts, self.values, self.next_values, self.going, lambda_)


def draw_slates(scores: Tensor, slots: int, torch_rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Plackett–Luce slates (B, K) by the faster of two exact ways, and log-probabilities (B, K) of their slots."""
    drawn = draw_among_many(scores, slots, torch_rng) if scores.shape[1] > MANY else None
    if drawn is None:
        columns = draw_largest(scores, slots, torch_rng)
        drawn = columns, log_slots(scores, columns)
    return drawn


@torch.no_grad()
def collect_rollout(
    players: TrainingUsers,
    network: Judge,
    log_probabilities: Callable[[Tensor, Tensor], Tensor] | None = None,
    *,
    slots: int,
    length: int,
    gamma: float,
    by_time: bool,
    torch_rng: torch.Generator,
    kept: Batch | None = None,
) -> Rollout:
    """Show `length` slates, drawn from the network's scores, to each player.

    Parameters
    ----------
    log_probabilities
        (B, M) scores and (B, K) columns to the (B, K) log-probabilities to keep; by default those of the draws.
    kept
        What the network read for an earlier rollout, whose memory this one is written into; filled where it is empty.
    """
    joined: Batch = {} if kept is None else kept
    rows: list[list[Tensor]] = []
    lasts: list[Batch] = []
    ends: list[Tensor] = []  # of lives that a last state is known of, by the place in the rollout
    with network.holding_items():
        for t in range(length):
            batch = network.read(players.now)
            judged = network.judge(batch)
            columns, logs = draw_slates(judged.scores, slots, torch_rng)
            if log_probabilities is not None:
                logs = log_probabilities(judged.scores, columns)
            keep_rows(joined, batch, t, length)
            real = torch.gather(judged.scores, 1, columns) > -torch.inf
            outcome = players.step(torch.where(real, columns, -1).numpy())
            if outcome.last is not None:
                lasts.append(network.read(outcome.last))
                ends.append(torch.from_numpy(outcome.ended) + t * len(columns))
            going = torch.ones_like(judged.values)
            going[outcome.ended] = 0.0
            parts = (outcome.choice, outcome.reward, outcome.discounts(gamma, by_time), outcome.terminated)
            rows.append([columns, logs, judged.values, *map(torch.from_numpy, parts), going])
        final = network.rate(network.read(players.now))
    columns, logs, values, choice, rewards, discounts, lost, going = (
        torch.stack(column) for column in zip(*rows, strict=True)
    )
    following = torch.cat([values[1:], final[None]])
    if lasts:
        rated = network.rate({key: torch.cat([last[key] for last in lasts]) for key in lasts[0]})
        following.view(-1)[torch.cat(ends)] = rated
    following[lost] = 0.0
    return Rollout(joined, columns, logs, values, following, choice, rewards, discounts, going)


def keep_rows(joined: Batch, batch: Batch, t: int, length: int) -> None:
    """Copy a batch (B, ·) to row t of arrays (T, B, ·), which are made where they are missing or of other shapes."""
    for key, part in batch.items():
        if key not in joined or joined[key].shape != (length, *part.shape):
            joined[key] = torch.empty(length, *part.shape, dtype=part.dtype)
        joined[key][t] = part
