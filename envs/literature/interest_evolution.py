"""Interest evolution: the simulated users on which SlateQ was published, to compare learners with the literature.

Re-created from the equations of Ie et al. (2019), "Reinforcement Learning for Slate-based Recommender Systems: A
Tractable Decomposition and Practical Methodology", arXiv 1905.12767, section on simulation. It shares no code and no
user model with the rest of this package: items are topics with a quality, and nobody comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = NDArray[np.int64]
Observation = dict[str, NDArray[np.float32]]

RANGES: dict[str, tuple[float, float]] = {
    "poor_topics": (1, 1000),
    "good_topics": (1, 1000),
    "spread": (0, 10),
    "candidates": (1, 100_000),
    "slots": (1, 1000),
    "budget": (0.001, 1e6),
    "length": (0.001, 1e6),
    "skip": (0.001, 1e6),
    "bonus": (0, 1),
    "quality_weight": (0, 1),
    "step": (0, 1),
    "nothing": (-50, 50),
}  # of the fields of `Constants`


@dataclass(frozen=True)
class Constants:
    """The constants. "Paper": stated there; "RecSim": as in the authors' later platform; "assumed": stated in neither.

    Raises
    ------
    ValueError
        If a field is out of its range, slates are longer than there are candidates, or a session might never end.
    """

    poor_topics: int = 14
    """Topics of low quality, with means from −3 to 0 (paper), evenly spread (RecSim). Paper."""
    good_topics: int = 6
    """Topics of high quality, with means from 0 to 3 (paper), evenly spread (RecSim). Paper."""
    spread: float = 0.1
    """Standard deviation of a document's quality around its topic's mean. RecSim; the paper: one for all topics."""
    candidates: int = 10
    """M, documents drawn anew for each slate, each topic as likely (RecSim). Paper."""
    slots: int = 3
    """K, documents of a slate. Paper."""
    budget: float = 200.0
    """Time that a session starts with. Paper."""
    length: float = 4.0
    """ℓ, time that a document takes. Paper."""
    skip: float = 0.5
    """Time that a slate without a click takes. Paper."""
    bonus: float = 0.9 / 3.4
    """Share of a document's time that each unit of satisfaction gives back. Paper."""
    quality_weight: float = 1.0
    """α of satisfaction ``(1 − α) I(u, d) + α L_d``. Paper."""
    step: float = 0.3
    """y, how far the interest in a topic moves. Paper."""
    nothing: float = 1.0
    """Utility of the null document. Assumed: with it the random policy's return is the published one."""

    def __post_init__(self) -> None:
        """Refuse what makes no session."""
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), RANGES[field.name]
            kind, wanted = (int | np.integer, "whole number") if field.type is int else (int | float, "number")
            if not isinstance(value, kind):
                raise ValueError(f"{field.name} = {value!r} must be a {wanted} from {low} to {high}")
            if not low <= value <= high:
                raise ValueError(f"{field.name} = {value!r} is out of range; allowed: {low} to {high}")
        if self.slots > self.candidates:
            raise ValueError(f"slots = {self.slots} exceeds candidates = {self.candidates}; show at most as many")
        best = self.bonus * (3.0 + 4.0 * self.spread)  # what four standard deviations above the best mean give back
        if best >= 1:
            raise ValueError(f"bonus = {self.bonus} may give back {best:.2f} of a document's time; take less, below 1")

    @property
    def topics(self) -> int:
        """T."""
        return self.poor_topics + self.good_topics

    @property
    def means(self) -> Floats:
        """(T,) mean quality of each topic, the poor ones first."""
        return np.concatenate([np.linspace(-3, 0, self.poor_topics), np.linspace(0, 3, self.good_topics)])


def compute_choice_probabilities(interest: Floats, nothing: float, shown: NDArray[np.bool_] | None = None) -> Floats:
    """Conditional logit with a null document: ``P(i) = e^{I_i} / (e^{I_⊥} + Σ_j e^{I_j})``.

    Parameters
    ----------
    interest
        (B, K) interest in the document of each slot.
    nothing
        I_⊥, utility of the null document.
    shown
        (B, K) False where a slot shows nothing; by default all do.

    Returns
    -------
    ndarray
        (B, K + 1); the last column is of no click.
    """
    weight = np.exp(interest) if shown is None else np.where(shown, np.exp(interest), 0.0)
    weight = np.concatenate([weight, np.full((len(weight), 1), np.exp(nothing))], axis=1)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def nudge_interest(interest: Floats, luck: Floats, step: float) -> Floats:
    """Interest in a topic after one of its documents was consumed.

    With probability ``(I + 1)/2`` it rises by ``Δ = y (1 − |I|)(1 − I)``, the share ``y (1 − |I|)`` of its distance
    from 1, and else falls by as much, to −1 at the lowest: what is entrenched moves less, and more likely further.

    Parameters
    ----------
    interest, luck
        (B,) in [−1, 1], and uniform on [0, 1).
    step
        y.
    """
    change = step * (1.0 - np.abs(interest)) * (1.0 - interest)
    return np.clip(interest + np.where(luck < (interest + 1.0) / 2.0, change, -change), -1.0, 1.0)


class Inputs(NamedTuple):
    """What slate networks read.

    Attributes
    ----------
    state
        (B, T) float32, the interests.
    items
        (B, M, T + 1) float32, topic (one-hot) and quality of each candidate.
    ids
        (B, M) int64, one more than the topic: a row of `InterestEvolutionVectorEnv.vectors`.
    """

    state: NDArray[np.float32]
    items: NDArray[np.float32]
    ids: NDArray[np.int64]


class InterestEvolutionVectorEnv(VectorEnv[Observation, Columns, NDArray[Any]]):
    """A batch of sessions of users whose interests follow what they consume.

    One step shows each user K of M candidates. The user chooses by interest alone, one of them or none, and only then
    meets the quality. Good documents give back some of the time that they take; so who is led to good topics stays
    longer, at the price of clicks now. The default `Constants` is the published experiment, as far as it is known.

    Action space
    ------------
    ``MultiDiscrete`` for each user: K columns of ``candidates``, 0 to M − 1; −1 leaves a slot empty. The order does not
    matter; a second copy of a column is legal and wasted. The published policies fill all slots.

    Observation space
    -----------------
    A ``Dict`` of float32 boxes for each user. The budget is hidden, as in the paper.

    ==============  ============  ==========================================================================
    ``interest``    (T,)          in [−1, 1], 1 is fully interested
    ``candidates``  (M, T + 1)    topic (one-hot) and, last, quality of each, drawn anew for each slate
    ``response``    (T + 1,)      the same of the document consumed last step; zeros for none
    ==============  ============  ==========================================================================

    Reward
    ------
    Time spent with the document consumed: ℓ, or what is left of the budget if that is less; 0 without a click.

    Starting state
    --------------
    Interests uniform on [−1, 1] and independent, the whole budget.

    Episode end
    -----------
    ``terminated``: the budget is used up. ``truncated`` never. Autoreset is SAME_STEP: the observation is that of the
    next user, the last one of the session is in ``info["final_obs"]``.

    Dynamics
    --------
    Choice: `compute_choice_probabilities`. A document d that is consumed takes ``ℓ − b ℓ S(u, d)`` off the budget, with
    satisfaction ``S = (1 − α) I(u, d) + α L_d`` and quality L_d; a skip takes its own time. Then the interest in its
    topic is `nudge_interest`.

    Where the paper leaves a choice, or its formula another than its prose, this is what is done. (1) The interest moves
    as the prose says, towards 1 or away from it; the formula as printed, ``Δ = −y (1 − |I|) I``, would have positive
    interests shrink more likely than grow. (2) The last document is cut where the budget ends (RecSim). (3) The null
    document has utility 1 (assumed).

    Info
    ----
    ``choice``: slot chosen, −1 for none; ``quality`` of what was consumed, 0 for none.

    Seeding
    -------
    ``reset(seed=z)``: slot i has luck z + i; or one seed for each slot. The j-th session of a slot is a function of its
    luck, j and the slates. Interests at the start, and all candidates, do not depend on the slates, so two policies
    can be compared in pairs. Without a seed, each slot goes on to its next session.

    Parameters
    ----------
    num_envs
        B.
    constants
        The constants; by default the published experiment.

    Examples
    --------
    >>> env = InterestEvolutionVectorEnv(num_envs=2)
    >>> observation, info = env.reset(seed=0)
    >>> observation, minutes, terminated, truncated, info = env.step(np.array([[0, 1, 2], [7, 8, 9]]))
    >>> bool(((minutes == 4) == (info["choice"] >= 0)).all()), env.inputs(observation).items.shape
    (True, (2, 10, 21))
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int = 1, constants: Constants | None = None) -> None:
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs = {num_envs!r} must be a whole number, at least 1")
        self.num_envs, self.constants = int(num_envs), constants or Constants()
        s, b = self.constants, self.num_envs
        low, high = np.zeros(s.topics + 1, np.float32), np.ones(s.topics + 1, np.float32)
        low[-1], high[-1] = -np.inf, np.inf
        self.single_observation_space = gym.spaces.Dict(
            {
                "interest": gym.spaces.Box(-1, 1, (s.topics,), np.float32),
                "candidates": gym.spaces.Box(np.tile(low, (s.candidates, 1)), np.tile(high, (s.candidates, 1))),
                "response": gym.spaces.Box(low, high),
            }
        )
        self.single_action_space = gym.spaces.MultiDiscrete([s.candidates + 1] * s.slots, start=[-1] * s.slots)
        self.observation_space = batch_space(self.single_observation_space, b)
        self.action_space = batch_space(self.single_action_space, b)
        self.interest, self.budget = np.zeros((b, s.topics)), np.zeros(b)
        self._topics, self._quality = np.zeros((b, s.candidates), np.int64), np.zeros((b, s.candidates))
        self._uniform, self._normal = np.zeros((b, s.candidates + 2)), np.zeros((b, s.candidates))
        self._response = np.zeros((b, s.topics + 1), np.float32)
        self._luck, self._session = np.zeros(b, np.uint64), np.zeros(b, np.uint64)
        self._streams, self._seeded = [np.random.default_rng(0)] * b, False

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(T + 1, T) the topics' one-hot vectors by ``Inputs.ids``, row 0 for none."""
        return np.eye(self.constants.topics + 1, self.constants.topics, -1, np.float32)

    @staticmethod
    def inputs(observation: Observation) -> Inputs:
        """State, items and ids of observations (B, ·), for slate networks; row b depends on row b alone."""
        items = observation["candidates"]
        ids = items[..., :-1].argmax(axis=2).astype(np.int64) + 1
        return Inputs(observation["interest"].copy(), items.copy(), ids)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start new sessions; see the class for seeds. There are no options."""
        if options:
            raise ValueError(f"reset option {next(iter(options))!r} is unknown; there are none")
        if seed is None and not self._seeded:
            seed = int(np.random.default_rng().integers(2**31))
        if seed is not None:
            self._reseed(seed)
        self._begin(np.ones(self.num_envs, bool))
        self._draw()
        return self._observe(), self._make_info(np.full(self.num_envs, -1), np.zeros(self.num_envs))

    def step(self, actions: Columns) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Show a slate (K columns of the candidates) to each user."""
        if not self._seeded:
            raise gym.error.ResetNeeded("call reset() before step()")
        columns = self._check_columns(actions)
        choice = self._choose(columns)
        minutes, quality = self._consume(choice, columns[np.arange(self.num_envs), np.maximum(choice, 0)])
        terminated = self.budget <= 0
        info = self._make_info(choice, quality)
        self._draw()
        if terminated.any():
            info |= self._make_final_info(terminated)
            self._begin(terminated)
            self._draw(terminated)
        return self._observe(), minutes, terminated, np.zeros(self.num_envs, bool), info

    def _reseed(self, seed: int | Sequence[int | None]) -> None:
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed has {len(seed)} entries for {self.num_envs} slots; give one each")
        if not self._seeded and None in seed:
            raise gym.error.ResetNeeded("the first reset must seed every slot, or none")
        for i, value in enumerate(seed):
            if value is not None and not 0 <= value < 2**63:
                raise ValueError(f"seed = {value!r} is out of range; allowed: 0 to 2**63 − 1")
            if value is not None:
                self._luck[i], self._session[i] = value, 0
        self._seeded = True

    def _choose(self, columns: Columns) -> Columns:
        """(B,) slots chosen, −1 for none."""
        shown = columns >= 0
        for k in range(1, self.constants.slots):
            shown[:, k] &= (columns[:, :k] != columns[:, k : k + 1]).all(axis=1)
        topics = np.take_along_axis(self._topics, np.maximum(columns, 0), axis=1)
        interest = np.take_along_axis(self.interest, topics, axis=1)
        upper = compute_choice_probabilities(interest, self.constants.nothing, shown)[:, :-1].cumsum(axis=1)
        slot = (self._uniform[:, -2:-1] >= upper).sum(axis=1)
        return np.where(slot < self.constants.slots, slot, -1)

    def _consume(self, choice: Columns, column: Columns) -> tuple[Floats, Floats]:
        """Move budgets and interests; minutes spent, and quality of what was consumed."""
        s, rows, clicked = self.constants, np.arange(self.num_envs), choice >= 0
        topic, quality = self._topics[rows, column], np.where(clicked, self._quality[rows, column], 0.0)
        interest = self.interest[rows, topic]
        minutes = np.where(clicked, np.minimum(s.length, self.budget), 0.0)
        satisfaction = (1.0 - s.quality_weight) * interest + s.quality_weight * quality
        self.budget -= np.where(clicked, minutes - s.bonus * minutes * satisfaction, s.skip)
        self.interest[rows, topic] = np.where(clicked, nudge_interest(interest, self._uniform[:, -1], s.step), interest)
        self._response[...] = 0.0
        self._response[rows, topic], self._response[:, -1] = clicked, quality
        return minutes, quality

    def _begin(self, which: NDArray[np.bool_]) -> None:
        """Put new users into some slots."""
        for i in np.flatnonzero(which):
            key = np.array([self._luck[i], self._session[i]], np.uint64)
            self._streams[i] = np.random.Generator(np.random.Philox(key=key))
            self.interest[i] = self._streams[i].uniform(-1.0, 1.0, self.constants.topics)
        self.budget[which], self._response[which] = self.constants.budget, 0.0
        self._session[which] += np.uint64(1)

    def _draw(self, which: NDArray[np.bool_] | None = None) -> None:
        """Draw candidates, and the luck of the step to come with them, so that no slate moves what is drawn."""
        for i in range(self.num_envs) if which is None else np.flatnonzero(which):
            self._streams[i].random(out=self._uniform[i])
            self._streams[i].standard_normal(out=self._normal[i])
        self._topics = (self._uniform[:, :-2] * self.constants.topics).astype(np.int64)
        self._quality = self.constants.means[self._topics] + self.constants.spread * self._normal

    def _observe(self) -> Observation:
        topics = np.eye(self.constants.topics, dtype=np.float32)[self._topics]
        candidates = np.concatenate([topics, self._quality[:, :, None].astype(np.float32)], axis=2)
        return {
            "interest": self.interest.astype(np.float32),
            "candidates": candidates,
            "response": self._response.copy(),
        }

    def _make_info(self, choice: Columns, quality: Floats) -> dict[str, Any]:
        every = np.ones(self.num_envs, bool)
        return {"choice": choice, "_choice": every, "quality": quality, "_quality": every.copy()}

    def _make_final_info(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        observation = self._observe()
        rows = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(done):
            rows[i] = {key: value[i].copy() for key, value in observation.items()}
        return {"final_obs": rows, "_final_obs": done.copy()}

    def _check_columns(self, actions: Any) -> Columns:
        columns = np.asarray(actions)
        if columns.shape != (self.num_envs, self.constants.slots):
            raise ValueError(
                f"slates have shape {columns.shape}, expected (users, slots) = {(self.num_envs, self.constants.slots)}"
            )
        if columns.dtype.kind not in "iu":
            raise ValueError(f"slates have dtype {columns.dtype}; give whole numbers, columns of the candidates")
        last = self.constants.candidates - 1
        if columns.min() < -1 or columns.max() > last:
            bad = int(columns[(columns < -1) | (columns > last)][0])
            raise ValueError(f"column {bad} in a slate is out of range; allowed: −1 (empty slot) to {last}")
        return columns.astype(np.int64)
