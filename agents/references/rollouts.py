"""A planner that tries slates in the true user model: it plays the one after which a base policy earns most.

One step of policy improvement by simulation (rollouts: Tesauro and Galperin, 1996; Bertsekas and others, 1997). It
knows the user's true state and the laws by which it moves, and not what chance will bring: rollouts draw luck of their
own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.candidates.retriever import Retriever
from ...envs.engine import ContextColumn
from ...envs.env import LATENT, LATENT_MEMORY
from ...envs.shared.options import Options, number
from ...envs.users.chance import stream_key
from ...envs.users.records import ACTIVE, HORIZON, NOTHING
from ...envs.users.world import World
from ..base import Agent, Remembering, SlateFunction, as_agent, check_agent_slates, select_users
from ..playing.evaluate import held_out_users
from ..playing.luck import REFERENCE_LUCK
from ..playing.trials import make_life_env, sum_life_minutes
from .features import FEATURES
from .linear import LinearOracle

COUNTS = ("depth", "session_minutes", "session", "skips")  # of the context, by the names that records have, too
DREAMS = 2**62  # seeds of rollouts are from here on, where no world's are
# Fields of a user that the context shows.
COLUMNS = {
    "depth": ContextColumn.DEPTH,
    "session_minutes": ContextColumn.SESSION_MINUTES,
    "gap": ContextColumn.GAP_DAYS,
    "clock": ContextColumn.DAY,
    "session": ContextColumn.SESSION,
    "skips": ContextColumn.SKIPS,
}


@dataclass(frozen=True)
class RolloutOptions(Options):
    """How the planner tries slates."""

    count: int = number(16, 2, 10**6)
    """Rollouts of each proposal; those of all proposals share their luck."""
    sessions: int | None = number(1, 1, 10**6)
    """Sessions that a rollout lasts, this one included; None for the rest of the month. At a cut, what is still to come
    is estimated by a `Continuation`, where there is one, and else left out."""
    caution: float = number(1.0, 0.0, 100.0)
    """Standard errors by which a proposal must beat the base policy's slate to be played instead."""
    seed: int = number(0, 0, 2**31 - 1)
    """Seed of the rollouts' luck."""
    batch: int = number(4096, 1, 10**7)
    """Lives rolled forward at a time."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """Minutes that a base policy still earns from the start of a session: a regression on trust, time and user.

    Attributes
    ----------
    weights
        Weights of `make_terms`, by least squares.
    horizon
        Days of a life.
    frail
        Whether people differ in frailty, which is then a trait, too.
    """

    weights: NDArray[np.float64]
    horizon: float
    frail: bool = False

    @staticmethod
    def make_terms(users: np.ndarray, horizon: float, frail: bool = False) -> NDArray[np.float64]:
        """(B, 15) regressors of user records, (B, 19) where people are frail; all vanish with the time that is left."""
        left = np.maximum(1.0 - users["clock"] / horizon, 0.0)
        traits = [np.ones(len(users)), users["trust"], users["visit_rate"], users["leave_logit"]]
        traits += [users["trust"] ** 2, users["trust"] * users["visit_rate"], users["sensitivity"]]
        traits += [users["frailty"], users["trust"] * users["frailty"]] if frail else []
        wide = [left * trait for trait in traits] + [left**2 * trait for trait in traits]
        return np.stack([*wide, left**3], axis=1)

    def estimate_minutes(self, users: np.ndarray) -> NDArray[np.float64]:
        """(B,) expected minutes, not below 0."""
        return np.asarray(np.maximum(self.make_terms(users, self.horizon, self.frail) @ self.weights, 0.0))

    @classmethod
    def fit(
        cls,
        world: World,
        item_vectors: NDArray[np.float32],
        base: Agent | SlateFunction,
        users: int = 400,
        luck: int = REFERENCE_LUCK,
    ) -> "Continuation":
        """Learn from the lives of training users, at most so many, from every session that they begin."""
        agent = as_agent(base)
        users = min(users, len(world.split("train")))
        env, horizon = make_life_env(world, item_vectors, users), float(world.scenario.params.horizon_days)
        frail = bool(world.scenario.params.churn_frailty > 0)
        bare: Any = env.unwrapped
        records = bare.engine.users
        terms: list[NDArray[np.float64]] = []
        earned: list[NDArray[np.float64]] = []  # before each session that began
        who: list[NDArray[np.int64]] = []
        so_far = np.zeros(users)

        def act(observation: Any, which: NDArray[np.bool_]) -> NDArray[np.int64]:
            so_far[which] += records["minutes"][which]
            fresh = which & (records["depth"] == 0)
            terms.append(cls.make_terms(records[fresh], horizon, frail))
            earned.append(so_far[fresh].copy())
            who.append(np.flatnonzero(fresh))
            return check_agent_slates(agent.act(observation), agent, observation, world)

        total = sum_life_minutes(env, held_out_users(world, "train", users), luck, act)
        to_go = total[np.concatenate(who)] - np.concatenate(earned)
        weights = np.linalg.lstsq(np.concatenate(terms), to_go, rcond=None)[0]
        return cls(weights.astype(np.float64), horizon, frail)


@dataclass(eq=False)
class RolloutPlanner:
    """Tries the base policy's slate and others in the true user model, and plays the best.

    It acts on the observation and the hidden state alone, so a slate does not depend on the batch: what the records of
    users have beside (their own rates of leaving and of visits) it finds in the population by their traits. Luck in
    rollouts is a function of the seed, the user, the session, the slate's number in it and the rollout; real luck is
    not known, nor used.

    Parameters
    ----------
    world
        World whose user model it knows.
    item_vectors
        Vectors (N, E) that candidates of later sessions are found by.
    base
        Agent or plain function, without a memory of its own, that plays on after the slate that is tried.
    proposals
        Agents or plain functions whose slates are tried beside the base policy's.
    options
        Options of the rollouts.
    continuation
        Estimate of what a rollout that is cut would still earn.
    """

    world: World
    item_vectors: NDArray[np.float32]
    base: Agent | SlateFunction
    proposals: Sequence[Agent | SlateFunction]
    options: RolloutOptions = field(default_factory=RolloutOptions)
    continuation: Continuation | None = None
    name: str = "rollout planner"
    privileged: bool = True

    def __post_init__(self) -> None:
        """Refuse agents that remember, and set the stage for rollouts."""
        for agent in map(as_agent, (self.base, *self.proposals)):
            if isinstance(agent, Remembering):
                raise ValueError(f"agent {agent.name!r} has a memory of its users; rollouts need one without")
        tries = (1 + len(self.proposals)) * self.options.count
        self._users = max(self.options.batch // tries, 1)  # at a time
        self._env: Retriever = make_life_env(self.world, self.item_vectors, self._users * tries)
        people = self.world.people
        traits = zip(people["sensitivity"].tolist(), people["recovery"].tolist(), strict=True)
        self._people: dict[tuple[float, float], int] = {}
        for person, trait in enumerate(traits):
            self._people.setdefault(trait, person)  # people of one type are alike in all that follows

    @classmethod
    def build_around(
        cls, oracle: LinearOracle, item_vectors: NDArray[np.float32], options: RolloutOptions | None = None
    ) -> "RolloutPlanner":
        """Improve on a linear oracle by slates of its `neighbours`, and learn from its lives what comes after a cut."""
        options = options or RolloutOptions()
        after = None if options.sessions is None else Continuation.fit(oracle.world, item_vectors, oracle)
        return cls(oracle.world, item_vectors, oracle, make_neighbours(oracle), options, after)

    def act(self, observation: Any) -> NDArray[np.int64]:
        """Try and choose."""
        slates = self.propose(observation)
        gain = self.try_slates(observation, slates)
        gain -= gain[:, :1].copy()
        error = gain.std(axis=2, ddof=1) / np.sqrt(gain.shape[2])
        best = np.argmax(gain.mean(axis=2) - self.options.caution * error, axis=1)
        return np.asarray(slates[np.arange(len(slates)), best])

    def propose(self, observation: Any) -> NDArray[np.int64]:
        """(B, P, K) slates that are tried, the base policy's first."""
        return np.stack([self._ask(policy, observation) for policy in (self.base, *self.proposals)], axis=1)

    def _ask(self, policy: Agent | SlateFunction, observation: Any) -> NDArray[np.int64]:
        """(B, K) slates of an agent, who is shown what is hidden only if it says so."""
        agent = as_agent(policy)
        seen = {key: value for key, value in observation.items() if agent.privileged or key != "latent"}
        return check_agent_slates(agent.act(seen), agent, seen, self.world)

    def try_slates(self, observation: Any, slates: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, P, R) minutes of each rollout of slates (B, P, K)."""
        users = self.read_records(observation)
        candidates = np.asarray(observation["candidates"], np.int32)
        pieces = [slice(start, start + self._users) for start in range(0, len(users), self._users)]
        return np.concatenate([self._roll(users[s], candidates[s], slates[s]) for s in pieces])

    def read_records(self, observation: Any) -> np.ndarray:
        """(B,) whole states of the users, as the engine has them, with the time in the digits of the observation."""
        latent, context = observation["latent"], observation["context"]
        users = np.zeros(len(context), self.world.scenario.make_user_type())
        for name in LATENT:
            users[name] = latent[name]
        users["id"] = [
            self._find_person(*traits) for traits in zip(latent["sensitivity"], latent["recovery"], strict=True)
        ]
        for name in ("leave_logit", "visit_rate", "chronotype", "frailty", "second"):
            users[name] = self.world.people[name][users["id"]]
        for name, column in (("gap", "gap_days"), ("clock", "day"), *((name, name) for name in COUNTS)):
            users[name] = observation["context"][:, ContextColumn[column.upper()]]
        users["day"] = np.maximum(users["clock"] - users["session_minutes"] / 1440, 0.0)  # when the session began
        items = observation["history_ids"].astype(np.int64)
        users["history_items"], users["history_completion"] = items, observation["history_completion"]
        when = users["clock"][:, None] - observation["history_age"]
        users["history_time"] = np.where(items > 0, when, 0.0)
        users["residues"] = np.bitwise_or.reduce(1 << np.minimum(items & 63, 62), axis=1)
        users["choice"], users["status"] = NOTHING, ACTIVE
        if self.world.scenario.habit:
            users["habit"] = latent["habit"]
        if self.world.scenario.cultivation:
            users["first_taste"] = latent["first_taste"]
        if self.world.scenario.memory:
            self._read_traces(users, observation)
        return users

    @staticmethod
    def _read_traces(users: np.ndarray, observation: Any) -> None:
        """What the slates before left: the memory, and the slates that the service keeps."""
        for name in LATENT_MEMORY:
            users[name] = observation["latent"][name]
        shown, age = observation["shown_ids"], observation["shown_age"]
        users["slates"] = ((shown > 0).any(axis=2) | (age > 0)).sum(axis=1)
        for user, ids, days in zip(users, shown, age, strict=True):
            known = int(user["slates"])
            user["shown"][:known], user["shown_time"][:known] = ids[:known][::-1], (user["clock"] - days[:known])[::-1]

    def _find_person(self, sensitivity: float, recovery: float) -> int:
        key = float(sensitivity), float(recovery)
        if key not in self._people:
            raise ValueError(
                f"nobody in the world has sensitivity {key[0]} and recovery {key[1]}; plan in the world that is played"
            )
        return self._people[key]

    def draw_luck(self, users: np.ndarray) -> NDArray[np.uint32]:
        """(B, R, 2) stream keys of the rollouts from here."""
        seed, rollouts = DREAMS + self.options.seed, range(self.options.count)
        whens = [int(user["session"]) << 16 | int(user["depth"]) for user in users]
        return np.array([[stream_key(seed, r, when) for r in rollouts] for when in whens], np.uint32)

    def _roll(self, users: np.ndarray, candidates: NDArray[np.int32], slates: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, P, R) minutes of B users at most as many as fit the batch."""
        shape = (*slates.shape[:2], self.options.count)
        spread = np.broadcast_to(np.arange(len(users))[:, None, None], shape).reshape(-1)
        lives = users[spread]
        keys = np.broadcast_to(self.draw_luck(users)[:, None], (*shape, 2)).reshape(-1, 2)
        lives["k0"], lives["k1"] = keys.T
        same = (slates[:, :, None] == slates[:, None]).all(axis=3).argmax(axis=2)  # first proposal of the same slate
        tried = np.broadcast_to((same == np.arange(shape[1]))[:, :, None], shape).reshape(-1)
        lives["status"][~tried] = HORIZON
        first = np.broadcast_to(slates[:, :, None], (*shape, slates.shape[2])).reshape(len(spread), -1)
        minutes = self._play_on(lives, candidates[spread], first).reshape(shape)
        return np.take_along_axis(minutes, same[:, :, None], axis=1)

    def _play_on(
        self, lives: np.ndarray, candidates: NDArray[np.int32], slates: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(L,) minutes of lives that go on with these slates, and then with those of the base policy."""
        env, count = self._env, len(lives)
        bare: Any = env.unwrapped
        records = bare.engine.users
        state = env.save_state()
        state["finished"][:] = True
        whole = records.copy()
        whole["status"] = HORIZON
        whole[:count], state["candidates"][:count] = lives, candidates
        state["finished"][:count] = lives["status"] != ACTIVE
        env.load_state({**state, "users": bare.pack_users(whole)})
        shown = np.zeros((env.num_envs, slates.shape[1]), np.int64)
        shown[:count] = slates
        last = whole["session"] + (self.options.sessions or np.iinfo(np.int32).max // 2)
        minutes, active = np.zeros(env.num_envs), ~state["finished"]
        while active.any():
            observation, reward, terminated, truncated, info = env.step(shown)
            minutes[active] += reward[active]
            active &= ~(terminated | truncated)
            cut = active & (records["session"] >= last)
            if self.continuation is not None:
                minutes[cut] += self.continuation.estimate_minutes(records[cut])
            active &= ~cut
            if active.any():
                shown[active] = self._ask(self.base, select_users({**observation, "latent": info["latent"]}, active))
        return minutes[:count]


def make_neighbours(oracle: LinearOracle, step: float = 1.0) -> list[LinearOracle]:
    """Proposals around a linear oracle: none, less and more of its foresight, and a step up and down in what lasts.

    Parameters
    ----------
    step
        Change of the weight of the item's verdict [minutes per standard deviation].
    """
    changed = [oracle.weights * share for share in (0.0, 0.5, 1.5)]
    for sign in (1.0, -1.0):
        weights = oracle.weights.copy()
        weights[FEATURES.index("verdict")] += sign * step
        changed.append(weights)
    return [replace(oracle, weights=weights) for weights in changed]
