"""Worlds that a learner must solve: a few items, users whose every rule is written here, and a known optimum.

They have the interface of `TrainingUsers` (``now``, ``step``, ``save_state``, ``load_state``, ``inputs``).
"""

from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
from gymnasium.vector import AutoresetMode, VectorWrapper

from longplay.agents.base import select_users
from longplay.agents.playing.training_users import SlateOutcome
from longplay.agents.slates.inputs import Inputs
from longplay.envs.env import SlateVectorEnv

WIDTH = 4  # of states and of items


class SmallPlayers:
    """B users with a state (B, 4) each, the same M candidates for all, and a logit choice from K slots.

    A subclass says how items look (M, 4), how much they pull given the states (B, M), and what a click brings.
    """

    slots = 2
    looks = np.eye(4, WIDTH, dtype=np.float32)
    life = 40  # slates until the horizon

    def __init__(self, users=64, seed=0):
        self.rng = np.random.default_rng(seed)
        self.state = np.zeros((users, WIDTH), np.float32)
        self.age = np.zeros(users, np.int64)
        self.finished = []
        scorer = SimpleNamespace(main_topic=np.arange(len(self.looks) + 1))
        self.inputs = SimpleNamespace(
            state_width=WIDTH,
            item_width=WIDTH + 1,
            item_features=("a", "b", "c", "d", "repeated"),
            scorer=scorer,
            identity="small",
        )

    @property
    def vectors(self):
        """Text vectors that say nothing."""
        return np.zeros((len(self.looks) + 1, 3), np.float32)

    @property
    def now(self):
        return self.look(self.state)

    def look(self, state):
        """Inputs for states (B, 4)."""
        looks = np.concatenate([self.looks, np.zeros((len(self.looks), 1), np.float32)], axis=1)
        ids = np.tile(np.arange(1, len(looks) + 1), (len(state), 1))
        return Inputs(state.copy(), np.tile(looks, (len(state), 1, 1)), ids)

    def pull(self):
        """Weights (B, M) of the items against 1 for nothing."""
        return np.ones((len(self.state), len(self.looks)))

    def pays(self, item):
        """Reward (B,) of the items consumed (B,), −1 for none; may move `state`. And who is lost: (B,) chances."""
        raise NotImplementedError

    def step(self, columns):
        users = len(self.state)
        weights = np.take_along_axis(self.pull(), np.maximum(columns, 0), axis=1) * (columns >= 0)
        edges = np.cumsum(weights / (1.0 + weights.sum(axis=1, keepdims=True)), axis=1)
        slot = (self.rng.random((users, 1)) >= edges).sum(axis=1)
        choice = np.where(slot < self.slots, slot, -1)
        item = np.where(choice >= 0, columns[np.arange(users), np.maximum(choice, 0)], -1)
        reward, lost = self.pays(item)
        terminated = self.rng.random(users) < lost
        self.age += 1
        truncated = ~terminated & (self.age >= self.life)
        ended = np.flatnonzero(terminated | truncated)
        last = self.look(self.state[ended]) if len(ended) else None
        self.state[ended], self.age[ended] = 0.0, 0
        days = np.zeros(users, np.float32)
        return SlateOutcome(choice, reward.astype(np.float32), terminated, truncated, days > 0, days, ended, last)

    def save_state(self):
        generator = self.rng.bit_generator.state["state"]
        words = [generator[key] >> shift & (2**32 - 1) for key in ("state", "inc") for shift in (0, 32, 64, 96)]
        return {"state": self.state.copy(), "age": self.age.copy(), "chance": np.array(words, np.int64)}

    def load_state(self, state):
        self.state, self.age = state["state"].copy(), state["age"].copy()
        words = [int(word) for word in state["chance"]]
        numbers = [sum(words[4 * i + k] << 32 * k for k in range(4)) for i in range(2)]
        found = self.rng.bit_generator.state
        self.rng.bit_generator.state = found | {"state": {"state": numbers[0], "inc": numbers[1]}, "has_uint32": 0}


class Identity(SmallPlayers):
    """Two of eight items pay; show them."""

    looks = np.concatenate([np.eye(8, 3), np.isin(np.arange(8), (2, 5))[:, None]], axis=1).astype(np.float32)

    def pays(self, item):
        return np.isin(item, (2, 5)).astype(float), np.zeros(len(item))


class Alternate(SmallPlayers):
    """Two topics; what was consumed last (the state says which) pays a fifth. One slot, nearly always clicked."""

    slots = 1
    looks = np.eye(2, WIDTH, dtype=np.float32)

    def pull(self):
        return np.full((len(self.state), 2), 50.0)

    def pays(self, item):
        tired = self.state[np.arange(len(item)), np.maximum(item, 0)] > 0
        clicked = item >= 0
        self.state[clicked] = np.eye(WIDTH, dtype=np.float32)[item[clicked]]
        return np.where(clicked, np.where(tired, 0.2, 1.0), 0.0), np.zeros(len(item))


class Trust(SmallPlayers):
    """A pays 1 and loses a user in three; B pays 0.6 and keeps all; nothing loses nobody. One slot.

    Shown for ever, with a click of probability c = 0.8 and the discount γ, A is worth c/(1 − γ(1 − c/3)) and B
    0.6c/(1 − γ): 2.94 against 48 for γ = 0.99, where life is only watched for 40 slates and goes on.
    """

    slots = 1
    looks = np.eye(2, WIDTH, dtype=np.float32)

    def pull(self):
        return np.full((len(self.state), 2), 4.0)

    def pays(self, item):
        return np.choose(item + 1, [0.0, 1.0, 0.6]), np.where(item == 0, 1 / 3, 0.0)


class EveryItem(VectorWrapper):
    """All items as candidates, those of the history, too, which the retriever of a catalogue this small leaves out."""

    def __init__(self, env):
        super().__init__(env)
        self.candidates = np.tile(
            np.arange(1, len(env.unwrapped.world.catalog) + 1, dtype=np.float32), (env.num_envs, 1)
        )

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return {**observation, "candidates": self.candidates}, info

    def step(self, actions):
        observation, reward, terminated, truncated, info = self.env.step(actions)
        for b in np.flatnonzero(info.get("_final_obs", [])):
            info["final_obs"][b]["candidates"] = self.candidates[b]
        return {**observation, "candidates": self.candidates}, reward, terminated, truncated, info

    def save_state(self):
        return self.env.save_state()

    def load_state(self, state):
        return {**self.env.load_state(state), "candidates": self.candidates}


def tiny_env(world, users, mode):
    """Tiny, with every item as a candidate."""
    return EveryItem(SlateVectorEnv(world, users, split="train", autoreset_mode=mode, reward="minutes"))


def tiny_minutes(planner, agent, users=300, luck=999):
    """Expected minutes of an agent in Tiny, exactly: of the slate that it shows most in each of the planner's states.

    What it shows may depend on more of the history than matters; where it never comes it shows what it shows most.
    """
    env = tiny_env(planner.world, users, AutoresetMode.DISABLED)
    observation, _ = env.reset(seed=luck)
    shown, active = defaultdict(Counter), np.ones(users, bool)
    slates = np.zeros((users, planner.world.scenario.shape.slate), np.int64)
    while active.any():
        visible = select_users(observation, active)
        slates[active] = agent.act(visible)
        for state, slate in zip(planner.read_states(visible), slates[active].tolist(), strict=True):
            shown[state][tuple(slate)] += 1
        observation, _, terminated, truncated, _ = env.step(slates)
        active = ~(terminated | truncated)
    most = sum(shown.values(), Counter()).most_common(1)[0][0]
    return planner.evaluate(lambda state: shown[state].most_common(1)[0][0] if state in shown else most)
