"""What a policy collects on its players: slates, what came of them, and how each is discounted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...playing.training_users import TrainingUsers
from ...slates.inputs import Inputs
from ...slates.plackett_luce import draw, draw_one_by_one
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


def draw_slates(scores: Tensor, slots: int, torch_rng: torch.Generator) -> Tensor:
    """Plackett–Luce slates (B, K), by the faster of two exact ways."""
    one_by_one = draw_one_by_one(scores, slots, torch_rng) if scores.shape[1] > MANY else None
    return draw(scores, slots, torch_rng) if one_by_one is None else one_by_one


@torch.no_grad()
def collect_rollout(
    players: TrainingUsers,
    network: Judge,
    log_probabilities: Callable[[Tensor, Tensor], Tensor],
    *,
    slots: int,
    length: int,
    gamma: float,
    by_time: bool,
    torch_rng: torch.Generator,
) -> Rollout:
    """Show `length` slates, drawn from the network's scores, to each player.

    Parameters
    ----------
    log_probabilities
        (B, M) scores and (B, K) columns to the (B, K) log-probabilities to keep.
    """
    batches: list[Batch] = []
    rows: list[list[Tensor]] = []
    for _ in range(length):
        batch = network.read(players.now)
        judged = network.judge(batch)
        columns = draw_slates(judged.scores, slots, torch_rng)
        logs = log_probabilities(judged.scores, columns)
        real = torch.gather(judged.scores, 1, columns) > -torch.inf
        outcome = players.step(torch.where(real, columns, -1).numpy())
        after = torch.full_like(judged.values, torch.nan)  # of those going on, known when the next slate is due
        if outcome.last is not None:
            after[outcome.ended] = network.judge(network.read(outcome.last)).values
        after[torch.from_numpy(outcome.terminated)] = 0.0
        going = torch.ones_like(judged.values)
        going[outcome.ended] = 0.0
        batches.append(batch)
        rewards = torch.from_numpy(outcome.reward)
        discounts = torch.from_numpy(outcome.discounts(gamma, by_time))
        choice = torch.from_numpy(outcome.choice)
        rows.append([columns, logs, judged.values, after, choice, rewards, discounts, going])
    joined = {key: torch.stack([batch[key] for batch in batches]) for key in batches[0]}
    rollout = Rollout(joined, *(torch.stack(column) for column in zip(*rows, strict=True)))
    final = network.judge(network.read(players.now)).values
    following = torch.cat([rollout.values[1:], final[None]])
    rollout.next_values = torch.where(rollout.going > 0, following, rollout.next_values)
    return rollout
