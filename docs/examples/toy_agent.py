"""A learning agent outside the package: the minutes of a click, linear in the candidate's features."""

from dataclasses import dataclass

import numpy as np
import torch

from longplay.agents import AGENTS, Learner, LearnerEntry, SlateAgent
from longplay.envs.shared.options import Options, evenly, number


@dataclass(frozen=True)
class LinearOptions(Options):
    """Options of the toy agent, and where scripts/tune.py searches them."""

    learning_rate: float = number(0.05, 1e-6, 1.0, search=evenly(0.01, 0.2))
    """Learning rate of the optimiser."""
    noise: float = number(0.1, 0.0, 10.0)
    """Standard deviation of the noise on scores in training."""


class LinearAgent(SlateAgent):
    """Shows the candidates of most predicted minutes."""

    def choose(self, inputs, noise=0.0):
        """Columns (B, K) of the candidates with the largest scores, best first, −1 for an empty slot."""
        scores = self.network(torch.from_numpy(inputs.items))[..., 0].detach().numpy() + noise
        columns = np.argsort(-np.where(inputs.ids > 0, scores, -np.inf), axis=1)[:, : self.slots]
        return np.where(np.take_along_axis(inputs.ids, columns, axis=1) > 0, columns, -1)


class LinearMinutes(Learner):
    """Shows noisy slates, and regresses the reward of a click on the features of what was clicked."""

    @staticmethod
    def make_agent(inputs, vectors, slots, options, gamma, name):
        """The agent, knowing nothing yet."""
        return LinearAgent(torch.nn.Linear(inputs.item_width, 1), inputs, slots, name)

    def __init__(self, players, options, gamma, seed, **shared):
        super().__init__(players, options, gamma, seed, **shared)
        self.optimisers = {"sgd": torch.optim.SGD(self.agent.network.parameters(), options.learning_rate)}

    def iterate(self):
        """Show each user one slate, and make one step of the optimiser."""
        inputs, network = self.players.now, self.agent.network
        columns = self.agent.choose(inputs, self.options.noise * self.rng.standard_normal(inputs.ids.shape))
        outcome = self.players.step(columns)
        users = np.flatnonzero(outcome.choice >= 0)
        clicked = torch.from_numpy(inputs.items[users, columns[users, outcome.choice[users]]])
        loss = (network(clicked)[:, 0] - torch.from_numpy(outcome.reward[users])).square().sum() / len(columns)
        self.optimisers["sgd"].zero_grad()
        loss.backward()
        self.optimisers["sgd"].step()
        self.steps += len(columns)
        return {"minutes": float(loss.detach())}


AGENTS.register("toy", LearnerEntry(LinearMinutes, LinearOptions, title="Toy", about="minutes linear in features"))
