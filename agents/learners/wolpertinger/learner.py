"""Wolpertinger: an actor points at an item, and critics choose the slate from the candidates nearest to it.

After Dulac-Arnold et al. (2015), Deep Reinforcement Learning in Large Discrete Action Spaces. The actor's proto item is
a point in the space of items (`ItemSpace`); the k nearest candidates are judged, and the slate of most value is shown.
As in SlateQ (Ie et al., 2019) a slate is worth what its items are worth by their chances of being chosen, so that only
the value of what was taken, or of nothing, is learned from it, one slate ahead and off policy from a replay. The actor
climbs the critic at its proto item (deterministic policy gradient: Silver et al., 2014; Lillicrap et al., 2016), with
slow targets, delayed steps and, on request, two critics of which the lower counts (Fujimoto et al., 2018, TD3).
"""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...playing.training_users import TrainingUsers
from ...registry import AGENTS
from ...slates.choice_losses import choice_log_probabilities, choice_loss, pick_chosen, slate_value, squared_error
from ...slates.inputs import Inputs
from ..item_values import ItemValueLearner
from ..replay import Replay
from ..training import LearnerEntry
from .agent import WolpertingerAgent, WolpertingerOptions, make_agent, select_columns
from .losses import future_target, tether_distance, value_alone

HALF = torch.float16  # of states and points in the replay, which are standard deviations up to 5


class Wolpertinger(ItemValueLearner):
    """Learns from a replay of states, slates, and the candidates that were nearest where they were shown.

    For each slate the replay holds the state and mean candidate, the points of the slate and of the k nearest
    candidates (all in half precision), and what came of it: some 4 kB. What follows is bootstrapped from the best slate
    of those that were the nearest when the next state was met, chosen by the networks that learn and valued by the
    slower ones (double learning: van Hasselt et al., 2016).

    Constructed as every `Learner`; ``players.inputs`` is a `SlateInputs`.
    """

    agent: WolpertingerAgent
    options: WolpertingerOptions
    tensors = ("memory", "rounds")
    make_agent = staticmethod(make_agent)

    def __init__(
        self,
        players: TrainingUsers,
        options: WolpertingerOptions,
        gamma: float,
        seed: int,
        *,
        vectors: NDArray[np.float32],
        slots: int,
        name: str = "Wolpertinger",
    ) -> None:
        super().__init__(players, options, gamma, seed, vectors=vectors, slots=slots, name=name)
        self._calibrate()
        space = self.agent.network.space
        self.online = copy.deepcopy(self.agent.network, {id(space): space})  # both share the space, which is fixed
        actor = list(self.online.actor.parameters())
        critics = [*self.online.critics.parameters(), self.online.fall]
        self.optimisers = {
            "critics": torch.optim.Adam(critics, lr=options.learning_rate),
            "actor": torch.optim.Adam(actor, lr=options.actor_rate),
        }
        self.replay = Replay(options.replay, options.segment, len(players.now.ids))
        self.rounds = torch.tensor(0)  # minibatches so far

    def modules(self) -> Mapping[str, nn.Module]:
        """The agent's network, which is the slower one, and the one that explores and learns."""
        return {"network": self.agent.network, "online": self.online}

    @property
    def memory(self) -> dict[str, Tensor]:
        """What `capture` keeps of the replay."""
        return self.replay.save_state()

    @memory.setter
    def memory(self, state: Mapping[str, Tensor]) -> None:
        self.replay.load_state(state)

    @property
    def exploration(self) -> float:
        """Share of the noise that is left now."""
        done = min(self.steps / self.options.anneal, 1.0)
        return 1.0 - done * (1.0 - self.options.last)

    def iterate(self) -> dict[str, float]:
        """Collect a segment, then learn from minibatches of the replay."""
        clicks = self._collect()
        options = self.options
        size = options.segment * self.replay.shape[2]
        logs: dict[str, list[float]] = {}
        for _ in range(max(options.epochs * size // options.batch, options.delay)):
            places, _ = self.replay.draw(options.batch, self.rng)
            logged = self._learn_critics(places)
            self.rounds = self.rounds + 1
            if self.rounds % options.delay == 0:
                logged |= self._learn_actor(places)
            self._update_slow_networks()
            for key, value in logged.items():
                logs.setdefault(key, []).append(float(value.detach()))
        losses = {key: float(np.mean(values)) for key, values in logs.items()}
        return {**losses, "clicks": clicks, "exploration": self.exploration}

    def _explore(self, inputs: Inputs, whole: Tensor, points: Tensor, proto: Tensor) -> NDArray[np.int64]:
        """Columns (B, K) to show in training: noise on the proto item and on pulls, and some slates at random."""
        spread = self.exploration * self.options.noise
        near = self.agent.find_near(inputs, points, proto + spread * torch.randn(proto.shape, generator=self.torch_rng))
        judged = self.online.judge(whole, near.points, torch.from_numpy(near.kind) > 0)
        noise = self.exploration * self.options.temperature * self.rng.gumbel(size=near.kind.shape)
        shown = select_columns(near, self.agent.find_best(judged, near.kind, noise))
        strange = self.rng.random(len(shown)) < self.options.epsilon
        return np.where(strange[:, None], self._draw_random(inputs), shown)

    @torch.no_grad()
    def _view(self, inputs: Inputs) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """What the replay keeps of a state, the points (B, M, D) of its candidates and its proto item (B, D)."""
        whole, points = self.online.space(inputs)
        proto = self.online.proto(whole)
        near = self.agent.find_near(inputs, points, proto)
        view = {"whole": whole.to(HALF), "near": near.points.to(HALF), "kind": torch.from_numpy(near.kind)}
        return view, points, proto

    @torch.no_grad()
    def _collect(self) -> float:
        """Play a segment into the replay; returns the share of slates with a click."""
        views, outcomes = [], []
        for _ in range(self.options.segment):
            now = self.players.now
            view, points, proto = self._view(now)
            columns = self._explore(now, view["whole"].float(), points, proto)
            outcome = self.players.step(columns)
            at = torch.from_numpy(np.maximum(columns, 0))[:, :, None]
            ended, beyond = np.zeros(len(columns), bool), torch.zeros(len(columns))
            ended[outcome.ended] = True
            if outcome.last is not None and self.gamma > 0:
                last, _, _ = self._view(outcome.last)
                beyond[torch.from_numpy(outcome.ended)] = self._values(last)
            views.append(view)
            outcomes.append(
                {
                    "slate": torch.take_along_dim(points, at, dim=1).to(HALF),
                    "filled": torch.from_numpy(columns >= 0),
                    "choice": torch.from_numpy(outcome.choice),
                    "reward": torch.from_numpy(outcome.reward),
                    "discount": torch.from_numpy(self._discount(outcome)),
                    "ended": torch.from_numpy(ended),
                    "beyond": beyond,
                }
            )
            self.steps += len(ended)
        views.append(self._view(self.players.now)[0])
        outcome_parts = {name: torch.stack([outcome[name] for outcome in outcomes]) for name in outcomes[0]}
        self.replay.add({name: torch.stack([view[name] for view in views]) for name in views[0]} | outcome_parts)
        return float((outcome_parts["choice"] >= 0).float().mean())

    @torch.no_grad()
    def _values(self, view: Mapping[str, Tensor]) -> Tensor:
        """Values (n,) of states by the slower networks: of the best slates of the candidates that were near."""
        whole, points, kind = view["whole"].float(), view["near"].float(), view["kind"]
        places = torch.from_numpy(self.agent.find_best(self.online.judge(whole, points, kind > 0), kind.numpy()))
        at = places.clamp(min=0)
        slate = torch.take_along_dim(points, at[:, :, None], dim=1)
        slow, values = self.agent.network, []
        for critic in range(len(slow.critics)):
            judged = slow.judge(whole, slate, places >= 0, critic)
            chances = choice_log_probabilities(judged.appeal, slow.log_position)
            values.append(slate_value(chances, judged.worth, judged.none))
        return torch.stack(values).min(dim=0).values

    def _targets(self, places: NDArray[np.int64]) -> Tensor:
        """Discounted values (n,) of what followed slates of the replay."""
        replay = self.replay
        segment, slate, user = np.unravel_index(places, replay.shape)
        names = ("whole", "near", "kind")
        following = self._values({name: replay.data[name][segment, slate + 1, user] for name in names})
        discount, ended, beyond = (replay.read_rows(name, places) for name in ("discount", "ended", "beyond"))
        return future_target(discount, following, ended, beyond)

    def _learn_critics(self, places: NDArray[np.int64]) -> dict[str, Tensor]:
        """One step of the critics: which item was chosen, what it paid, and what followed."""
        network, replay = self.online, self.replay
        whole, slate, filled, choice, reward = (
            replay.read_rows(name, places) for name in ("whole", "slate", "filled", "choice", "reward")
        )
        minutes_scale, future_scale = network.scale
        target = self._targets(places) if self.gamma > 0 else None
        logs: dict[str, Tensor] = {}
        for critic in range(len(network.critics)):
            judged = network.judge(whole.float(), slate.float(), filled, critic)
            chances = choice_log_probabilities(judged.appeal, network.log_position)
            # Nothing clicked pays nothing: no error there.
            now = pick_chosen(judged.minutes, torch.zeros_like(reward), choice)
            paid = torch.where(choice >= 0, reward, 0.0)
            terms = {
                "choice_loss": choice_loss(chances, choice).mean(),
                "minutes_loss": squared_error(now, paid, minutes_scale).mean(),
            }
            if target is not None:
                after = pick_chosen(judged.future, judged.none, choice)
                terms["future_loss"] = squared_error(after, target, future_scale).mean()
            for name, term in terms.items():
                logs[name] = logs[name] + term if name in logs else term
        self._step("critics", torch.stack(list(logs.values())).sum())
        if target is not None:
            logs["future_target"] = target.mean()
        return logs

    def _learn_actor(self, places: NDArray[np.int64]) -> dict[str, Tensor]:
        """One step of the actor up the first critic, near to where candidates are."""
        network = self.online
        whole = self.replay.read_rows("whole", places).float()
        proto = network.proto(whole)
        judged = network.judge(whole, proto[:, None, :], torch.ones(len(proto), 1, dtype=torch.bool))
        gain = judged.gain[:, 0]
        worth = gain if self.options.ranking == "value" else value_alone(judged.appeal[:, 0], gain)
        near, kind = self.replay.read_rows("near", places).float(), self.replay.read_rows("kind", places)
        far = tether_distance(proto, near, kind > 0).mean()
        worth = (worth / network.scale[0]).mean()
        self._step("actor", self.options.tether * far - worth)
        return {"proto_worth": worth, "proto_far": far}

    def _step(self, name: str, loss: Tensor) -> None:
        """One step of an optimiser; only its own weights move."""
        optimiser = self.optimisers[name]
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(weights, self.options.clip)
        optimiser.step()

    @torch.no_grad()
    def _update_slow_networks(self) -> None:
        """Let the slower networks follow."""
        for slow, fast in zip(self.agent.network.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, self.options.polyak)


AGENTS.register(
    "wolpertinger",
    LearnerEntry(
        Wolpertinger,
        WolpertingerOptions,
        title="Wolpertinger",
        about="an actor points at an item, critics choose from the nearest",
    ),
)
