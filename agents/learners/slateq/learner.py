"""SlateQ: values of slates from values of their items (Ie et al., IJCAI 2019), with a learned choice model.

``Q(s, A) = P(∅|s, A) Q̄(s, ∅) + Σ_{i∈A} P(i|s, A) Q̄(s, i)``. It holds where a user takes at most one item of a slate,
and reward and what follows depend on the slate through what was taken alone; then only the value of what was taken, or
of nothing, is learned from a slate. Here items that are only seen tire, too, a little (``satiation.seen``), so that
values are biased by as much: `scripts/studies/slateq_bias.py` measures it.

``Q̄(s, i)`` is the reward of a click, learned by regression, and the discounted value of what follows, learned from
λ-returns on the latest slates, or what a search over whole lives says a click is worth later. With γ = 0 the second
part is gone, and what remains is greedy on expected minutes.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...playing.training_users import TrainingUsers
from ...registry import AGENTS
from ...slates.choice_losses import (
    choice_log_probabilities,
    choice_loss,
    lambda_futures,
    pick_chosen,
    slate_value,
    squared_error,
)
from ...slates.inputs import Inputs
from ..item_values import ItemValueLearner
from ..replay import Replay
from ..training import LearnerEntry
from .agent import SlateQAgent, SlateQOptions, make_agent
from .follow_up import FollowUpRegression
from .lookahead_search import LookaheadSearch
from .network import SlateQNetwork


class Plan(NamedTuple):
    """Slates of one moment.

    Attributes
    ----------
    shown, best
        Columns (B, K): with exploration, and without.
    """

    shown: NDArray[np.int64]
    best: NDArray[np.int64]


class Seen:
    """A batch as tensors, with its mean candidates by a network's scales.

    Parameters
    ----------
    inputs
        Users and candidates.
    network
        For the scales.
    """

    def __init__(self, inputs: Inputs, network: SlateQNetwork) -> None:
        self.inputs = inputs
        self.state, self.items, self.ids = map(torch.from_numpy, (inputs.state, inputs.items, inputs.ids))
        self.mean = network.base.average(self.items, self.ids)


class SlateQ(ItemValueLearner):
    """Learns on policy from short segments and a small replay of them.

    Constructed as every `Learner`; ``players.inputs`` is a `SlateInputs`.
    """

    agent: SlateQAgent
    options: SlateQOptions
    tensors = ("memory",)
    make_agent = staticmethod(make_agent)

    def __init__(
        self,
        players: TrainingUsers,
        options: SlateQOptions,
        gamma: float,
        seed: int,
        *,
        vectors: NDArray[np.float32],
        slots: int,
        name: str = "SlateQ",
    ) -> None:
        super().__init__(players, options, gamma, seed, vectors=vectors, slots=slots, name=name)
        inputs: Any = players.inputs
        self._calibrate()
        texts = self.agent.network.base.vectors
        # Both networks share the table of texts.
        self.online = copy.deepcopy(self.agent.network, {id(texts): texts})
        self.optimisers = {"adam": torch.optim.Adam(self.online.parameters(), lr=options.learning_rate, fused=True)}
        users = len(players.now.ids)
        self.replay = Replay(options.replay, options.segment, users, options.priority)
        self.follow_up = FollowUpRegression(inputs.item_width, options.memory, options.ridge)
        self.bootstraps = gamma > 0 and options.later != "search"
        self.search = (
            LookaheadSearch(self.agent, players.env, options, gamma, seed) if options.later == "search" else None
        )

    def modules(self) -> Mapping[str, nn.Module]:
        """The agent's network, which is the slower one, and the one that explores and learns."""
        return {"network": self.agent.network, "online": self.online}

    @property
    def memory(self) -> dict[str, Tensor]:
        """What `capture` keeps of the replay, the least squares and the search."""
        search = self.search.save_state() if self.search else {}
        least = {"gram": self.follow_up.gram, "moment": self.follow_up.moment}
        return {**self.replay.save_state(), **least, **search}

    @memory.setter
    def memory(self, state: Mapping[str, Tensor]) -> None:
        self.follow_up.gram, self.follow_up.moment = state["gram"], state["moment"]
        if self.search:
            self.search.load_state(state)
        others = ("gram", "moment", *(self.search.save_state() if self.search else ()))
        self.replay.load_state({name: part for name, part in state.items() if name not in others})

    @classmethod
    def check_run(cls, config: Any) -> None:
        """The search begins within the run."""
        options = config.agent_options
        if options.later == "search" and options.search_after > config.steps:
            raise ValueError(
                f"search_after = {options.search_after} is out of range; allowed: 0 to steps = {config.steps}, the "
                "slates that a run learns from before it searches"
            )

    @property
    def unfinished(self) -> bool:
        """Whether there are rounds of the search to play."""
        return self.search is not None and not self.search.done

    def iterate(self) -> dict[str, float]:
        """Collect a segment, work out what followed each slate, learn from minibatches; or a round of the search."""
        options = self.options
        if self.search and self.unfinished and self.steps >= options.search_after:
            return self._play_search(self.search)
        clicks = self._collect()
        futures = self._futures().flatten() if self.bootstraps else None
        if futures is not None and options.later == "regression":
            self._fit_follow_up(futures)
        size = options.segment * self.replay.shape[2]
        logs = []
        for _ in range(max(options.epochs * size // options.batch, 1)):
            places, weights = self.replay.draw(options.batch, self.rng)
            logs.append(self._learn(places, weights, futures))
        losses = {key: float(np.mean([log[key] for log in logs])) for key in logs[0]}
        return {**losses, "clicks": clicks, "temperature": self.temperature}

    @property
    def temperature(self) -> float:
        """Of exploration now."""
        done = min(self.steps / self.options.anneal, 1.0)
        return (1.0 - done) * self.options.temperature + done * self.options.last_temperature

    def _plan(self, seen: Seen, explored: bool = True) -> Plan:
        """Slates with exploration, or, where nobody will be shown them, the best in their place by the same chance."""
        inputs, wanted = seen.inputs, self.bootstraps and self.options.target == "best"
        noise = self.rng.gumbel(size=inputs.ids.shape)
        strange = self.rng.random(len(noise)) < self.options.epsilon
        random = self._draw_random(inputs, strange)
        judged = self.online.judge_all(seen.state, seen.items, seen.ids, seen.mean)
        appeal, gain = judged.appeal.double().numpy(), judged.gain.double().numpy()
        best = self.agent.find_best(inputs, appeal, gain) if wanted else None
        if best is not None and not explored:
            return Plan(best, best)
        shown = self.agent.find_best(inputs, appeal + self.temperature * noise, gain)
        shown[strange] = random
        return Plan(shown, shown if best is None else best)

    def _view(self, seen: Seen, plan: Plan) -> dict[str, Tensor]:
        """What learning needs of a state: itself, the mean candidate, and the items of the two slates."""
        inputs, view = seen.inputs, {"state": seen.state, "mean": seen.mean}
        for name, columns in zip(Plan._fields, plan, strict=True):
            if name == "shown" or self.bootstraps:
                at = np.maximum(columns, 0)
                view[f"{name}_ids"] = torch.from_numpy(np.where(columns >= 0, np.take_along_axis(inputs.ids, at, 1), 0))
                view[f"{name}_items"] = torch.from_numpy(np.take_along_axis(inputs.items, at[:, :, None], 1))
        return view

    @torch.no_grad()
    def _collect(self) -> float:
        """Play a segment into the replay; returns the share of slates with a click."""
        views, outcomes, lasts = [], [], []
        with self.online.base.holding_items():
            for _ in range(self.options.segment):
                seen = Seen(self.players.now, self.online)
                plan = self._plan(seen)
                views.append(self._view(seen, plan))
                outcome = self.players.step(plan.shown)
                if outcome.last is not None and self.bootstraps:
                    last = Seen(outcome.last, self.online)
                    lasts.append(self._view(last, self._plan(last, explored=False)))
                ended = np.zeros(len(outcome.reward), bool)
                ended[outcome.ended] = True
                parts = {"choice": outcome.choice, "reward": outcome.reward, "discount": self._discount(outcome)}
                outcomes.append({name: torch.from_numpy(part) for name, part in (parts | {"ended": ended}).items()})
                self.steps += len(ended)
            seen = Seen(self.players.now, self.online)
            views.append(self._view(seen, self._plan(seen, explored=False)))
        outcome_parts = {name: torch.stack([outcome[name] for outcome in outcomes]) for name in outcomes[0]}
        beyond = torch.zeros_like(outcome_parts["reward"])
        if lasts:
            values = self._values({name: torch.cat([last[name] for last in lasts]) for name in lasts[0]})
            beyond[outcome_parts["ended"]] = values
        outcome_parts["beyond"] = beyond
        self.replay.add({name: torch.stack([view[name] for view in views]) for name in views[0]} | outcome_parts)
        return float((outcome_parts["choice"] >= 0).float().mean())

    def _values(self, view: Mapping[str, Tensor]) -> Tensor:
        """Values (n,) of states by the slower network, if the best slates are shown there."""
        network = self.agent.network
        judged = network.judge_all(view["state"], view["best_items"], view["best_ids"], view["mean"])
        chances = choice_log_probabilities(judged.appeal, network.log_position)
        return slate_value(chances, judged.worth, judged.none)

    @torch.no_grad()
    def _futures(self) -> Tensor:
        """Targets (R, T, B) of what followed each slate of the replay."""
        replay = self.replay
        view = {name: replay.read_all(name) for name in ("state", "mean", "best_items", "best_ids")}
        shape = view["state"].shape[:3]
        values = self._values({name: part.flatten(0, 2) for name, part in view.items()}).view(shape)
        futures = []
        for r in range(replay.held):
            reward, discount, ended, beyond = (
                replay.read_all(name)[r] for name in ("reward", "discount", "ended", "beyond")
            )
            following = torch.where(ended, beyond, values[r, 1:])
            futures.append(lambda_futures(reward, discount, following, ended, self.options.mix))
        return torch.stack(futures)

    @torch.no_grad()
    def _fit_follow_up(self, futures: Tensor) -> None:
        """Take the latest segment into the least squares, and both networks' weighting from them."""
        replay, network = self.replay, self.agent.network
        size = replay.shape[1] * replay.shape[2]
        places = (replay.added - 1) % replay.shape[0] * size + np.arange(size)
        state, items, ids, mean = (
            replay.read_rows(name, places) for name in ("state", "shown_items", "shown_ids", "mean")
        )
        judged = network.judge_all(state, items, ids, mean)
        chances = choice_log_probabilities(judged.appeal, network.log_position)
        expected = slate_value(chances, judged.future, judged.none)
        choice = replay.read_rows("choice", places)
        surprise = FollowUpRegression.compute_surprise(network.base.scaled(items, ids), chances.exp(), choice)
        self.follow_up.add(surprise, futures[torch.from_numpy(places)] - expected)
        for other in (network, self.online):
            other.later[:-1] = self.follow_up.coefficients  # without the appeal, from which chances are made

    def _play_search(self, search: LookaheadSearch) -> dict[str, float]:
        """A round of the search: the agent's weighting moves on."""
        played, logs = search.play_round()
        self.steps += played
        for network in (self.agent.network, self.online):
            network.later.copy_(torch.from_numpy(search.weights))
        return logs

    def _learn(self, places: NDArray[np.int64], weights: Tensor, futures: Tensor | None) -> dict[str, float]:
        """One step of the optimiser."""
        network, replay = self.online, self.replay
        names = ("state", "shown_items", "shown_ids", "mean")
        judged = network.judge_few(*(replay.read_rows(name, places) for name in names))
        choice, reward = replay.read_rows("choice", places), replay.read_rows("reward", places)
        minutes_scale, future_scale = network.scale
        log_probabilities = choice_log_probabilities(judged.appeal, network.log_position)
        choices = (weights * choice_loss(log_probabilities, choice)).mean()
        # Nothing clicked pays nothing: no error there.
        now = pick_chosen(judged.minutes, torch.zeros_like(reward), choice)
        minutes = (weights * squared_error(now, torch.where(choice >= 0, reward, 0.0), minutes_scale)).mean()
        loss, logs = choices + minutes, {"choice_loss": choices, "minutes_loss": minutes}
        if futures is not None:
            target = futures[torch.from_numpy(places)]
            after = pick_chosen(judged.future, judged.none, choice)
            errors = squared_error(after, target, future_scale)
            logs |= {"future_loss": (weights * errors).mean(), "future": after.mean(), "future_target": target.mean()}
            loss = loss + self.options.future_weight * logs["future_loss"]
            if replay.alpha:
                replay.set_priorities(places, ((after - target) / future_scale).detach())
        optimiser = self.optimisers["adam"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), self.options.clip)
        optimiser.step()
        with torch.no_grad():
            slow, fast = ([part.data for part in one.parameters()] for one in (self.agent.network, network))
            torch._foreach_lerp_(slow, fast, self.options.polyak)
        return {name: float(value.detach()) for name, value in logs.items()}


AGENTS.register(
    "slateq",
    LearnerEntry(
        SlateQ,
        SlateQOptions,
        title="SlateQ",
        about="values of slates from values of their items",
        rates_items=True,
    ),
)
