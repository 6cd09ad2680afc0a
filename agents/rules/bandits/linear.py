"""Linear bandits for slates, LinUCB and linear Thompson sampling: what they explore is what pays now.

They are myopic by construction: an item is worth the reward of its own slate, and there is no discount to set. They
learn from each slot of a slate by itself (semi-bandit feedback: Wen, Kveton and Ashkan, 2015), or from those down to
the one chosen (cascading bandits: Zong et al., 2016).
"""

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ....envs.candidates.scoring import Scorer
from ....envs.engine import Observation
from ....envs.shared.files import write_whole
from ....envs.shared.options import Options, among, evenly, number, word
from ....envs.users.world import World
from ...registry import RULES, Rule
from ..context import LOGGERS, FittedModel, RuleModels
from ..simple import RandomCandidates
from .posterior import Design, Floats, Posterior, discount_slots, weigh_slots

BANDIT_FILE = "bandit.json"
BANDIT = "bandit"  # in the folder of a rule that needs one
MOST_COMPONENTS = 14  # with the features and the intercept 24 inputs, and 5 kB a user
WARM_UP = 8  # steps of random slates: features of what was consumed have no spread before anything was
_FORMAT = 2  # 2: novelty in hours where items age
_ARRAYS = ("precision", "moment", "centre", "spread", "projection")


@dataclass(frozen=True)
class BanditOptions(Options):
    """How a linear bandit learns and plays."""

    method: str = word("ucb", "ucb", "thompson")
    """Way to explore: ucb (optimism: the mean and `alpha` standard deviations) or thompson (a draw from the
    posterior)."""
    feedback: str = word("semi", "semi", "cascade")
    """Slots that count as seen: semi (every one) or cascade (only those down to the one chosen)."""
    reward: str = word("minutes", "minutes", "clicks")
    """What a choice pays: minutes (dwell on the item) or clicks (1)."""
    alpha: float = number(1.0, 0.0, 1e6)
    """Exploration while learning: standard deviations of the posterior, for noise of one minute (or click)."""
    play_alpha: float = number(0.0, 0.0, 1e6)
    """Exploration when played; 0 plays by the posterior's mean."""
    ridge: float = number(1.0, 1e-6, 1e9)
    """Prior precision of each weight."""
    components: int = number(4, 0, MOST_COMPONENTS)
    """Principal components of the item vectors beside the scoring features."""
    position: float = number(0.5, 0.0, 4.0)
    """How attention falls along the slots under semi feedback: slot k is taken to be looked at k^−position as far as
    the top one; 0 takes all alike."""
    prior_slots: float = number(1000.0, 1.0, 1e12)
    """Slots of a user's own that weigh as much as all that was learned from others, for personal bandits."""

    @property
    def label(self) -> str:
        """Name of the method in tables."""
        method = {"ucb": "LinUCB", "thompson": "LinTS"}[self.method]
        return f"Cascade{method}" if self.feedback == "cascade" else method


@dataclass(frozen=True)
class BanditRuleOptions(Options):
    """Options of a linear bandit that has learned from others and shows everybody its best slates."""

    # Each of its values is learned anew, so that only a few are tried.
    alpha: float = number(1.0, 0.0, 100.0, search=among(0.3, 1.0, 3.0))
    """Exploration while it learns, in standard deviations of the posterior."""
    play_alpha: float = number(0.0, 0.0, 5.0, search=evenly())
    """Exploration when it is played; 0 plays by the posterior's mean."""


class LinearBandit:
    """One posterior over the weights of scoring features, learned on training users and then left as it is.

    Parameters
    ----------
    world
        For the lengths of items.
    scorer
        Of the same world.
    options
        See `BanditOptions`.

    Attributes
    ----------
    posterior, design
        What was learned, and on which inputs; ``None`` before `learn` or `load`.
    slots_learned
        How many slots of slates the posterior has seen.
    """

    privileged = False

    def __init__(self, world: World, scorer: Scorer, options: BanditOptions | None = None) -> None:
        self.world, self.scorer = world, scorer
        self.options = options or BanditOptions()
        self.name = self.options.label
        self.posterior: Posterior | None = None
        self.design: Design | None = None
        self.slots_learned, self.seed = 0.0, 0
        cascade = self.options.feedback == "cascade"  # which says by itself who looked where
        self._attention = discount_slots(scorer.slots, 0.0 if cascade else self.options.position)
        self._components: Floats = np.zeros((0, 0))

    def learn(
        self, env: Any, steps: int, seed: int = 0, progress: Callable[[float], None] | None = None
    ) -> NDArray[np.float64]:
        """Learn from nothing, by exploring; the posterior changes after each step of all users.

        The first `WARM_UP` steps show random candidates; they fix the constants of the inputs and teach nothing else.

        Parameters
        ----------
        env
            A vector environment with candidates and the action ``"items"`` that pays minutes, in autoreset mode
            SAME_STEP.
        steps
            Steps of the vector environment, more than `WARM_UP`.
        seed
            Of the users' luck and of what is drawn.
        progress
            Called with the share of the steps that is done.

        Returns
        -------
        (steps − WARM_UP,) float64
            Mean reward of the slates of each step that it chose: the curve that regret is read from.
        """
        _check_env(env, self.world, self.scorer.slots, steps)
        self.seed = seed
        observation, _ = env.reset(seed=seed)
        observation = self._warm_up(env, observation)
        curve = np.zeros(steps - WARM_UP)
        for step in range(len(curve)):
            inputs, posterior = self._inputs(observation), self._learned
            slates = self._choose(observation, inputs, posterior, self.options.alpha)
            shown = select_shown(inputs, observation, slates)
            observation, minutes, _, _, info = env.step(slates)
            # Where an episode ended the chosen slot is in the final info; the reward is the ended episode's anyway.
            choice = info["choice"]
            if "final_info" in info:
                choice = np.where(info["_final_info"], info["final_info"]["choice"], choice)
            curve[step] = self._learn_from(shown, slates, choice, minutes)
            if progress is not None:
                progress((WARM_UP + step + 1) / steps)
        return curve

    def take_over(self, other: "LinearBandit") -> Self:
        """Take what another one has learned by the same inputs, to play with other options; returns itself."""
        if other.options.components != self.options.components:
            theirs, ours = other.options.components, self.options.components
            raise ValueError(f"components = {theirs!r} of the other bandit, here {ours!r}; give both the same")
        posterior = other._learned
        assert other.design is not None
        self._adopt(other.design, posterior)
        self.slots_learned, self.seed = other.slots_learned, other.seed
        return self

    def act(self, observation: Observation) -> NDArray[np.int64]:
        """Slates of the best candidates by the posterior as it stands, with the exploration of `play_alpha`."""
        return self._choose(observation, self._inputs(observation), self._learned, self.options.play_alpha)

    def save(self, folder: str | Path) -> None:
        """Write options (JSON) and posterior (safetensors), whole or not at all."""
        folder, posterior, design = Path(folder), self._learned, self.design
        assert design is not None
        values = (posterior.precision, posterior.moment, design.centre, design.spread, design.projection)
        # Rows one after the other: safetensors writes memory as it lies.
        content = save({name: np.ascontiguousarray(value) for name, value in zip(_ARRAYS, values, strict=True)})
        digest = hashlib.sha256(content).hexdigest()
        file = f"bandit-{digest[:12]}.safetensors"
        write_whole(folder / file, content)
        about = {
            "format": _FORMAT,
            "options": dataclasses.asdict(self.options),
            "features": list(self.scorer.own),
            "slots": self.scorer.slots,
            "slots_learned": self.slots_learned,
            "seed": self.seed,
            "file": file,
            "sha256": digest,
        }
        write_whole(folder / BANDIT_FILE, json.dumps(about, indent=1))
        for other in folder.glob("bandit-*.safetensors"):
            if other.name != file:
                other.unlink()

    @classmethod
    def load(cls, folder: str | Path, world: World, scorer: Scorer) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the folder holds no bandit, a damaged one, or one of other features, slots or item vectors.
        """
        path = Path(folder) / BANDIT_FILE
        about, arrays = _read(path)
        fix = "learn again"
        if about["features"] != list(scorer.own):
            raise ValueError(f"{path}: features = {about['features']!r}, here they are {list(scorer.own)!r}; {fix}")
        if about["slots"] != scorer.slots:
            raise ValueError(f"{path}: slots = {about['slots']!r}, slates here have {scorer.slots}; {fix}")
        try:
            bandit = cls(world, scorer, BanditOptions(**about["options"]))
            bandit.slots_learned, bandit.seed = float(about["slots_learned"]), int(about["seed"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} does not describe a bandit: {error}; {fix}") from error
        components = bandit.options.components
        features = len(scorer.own)
        width = 1 + features + components
        shapes = ((width, width), (width,), (features,), (features,), (scorer.vectors.shape[1], components))
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.float64:
                found = f"{arrays[name].shape} {arrays[name].dtype}" if name in arrays else "missing"
                raise ValueError(f"{path}: {name} is {found}, here it must be {shape} float64; {fix}")
        bandit._adopt(
            Design(arrays["centre"], arrays["spread"], arrays["projection"]),
            Posterior(arrays["precision"], arrays["moment"]),
        )
        return bandit

    @property
    def _learned(self) -> Posterior:
        if self.posterior is None:
            raise ValueError(f"{self.name} has learned nothing yet; call learn() or load() first")
        return self.posterior

    def _warm_up(self, env: Any, observation: Observation) -> Observation:
        random, observations = RandomCandidates(self.scorer), [observation]
        for _ in range(WARM_UP):
            observations.append(env.step(random.act(observations[-1]))[0])
        design = Design.fit(self.scorer, observations, self.options.components)
        self._adopt(design, Posterior.prior(design.width, self.options.ridge))
        self.slots_learned = 0.0
        return observations[-1]

    def _adopt(self, design: Design, posterior: Posterior) -> None:
        self.design, self.posterior, self._components = design, posterior, design.project_items(self.scorer)

    def _inputs(self, observation: Observation) -> Floats:
        if self.design is None:
            self._learned  # noqa: B018  # which refuses
        assert self.design is not None
        return self.design.make_inputs(self.scorer, self._components, observation)

    def _choose(
        self, observation: Observation, inputs: Floats, posterior: Posterior, alpha: float
    ) -> NDArray[np.int64]:
        """Slates (B, K) of the candidates of largest mean, each moved by the exploration."""
        mean = posterior.mean
        if alpha > 0 and self.options.method == "thompson":
            mean = mean + alpha * posterior.transform_normals(draw_normals(observation, inputs.shape[2], self.seed))
        scores = (inputs @ mean[..., None])[..., 0]
        if alpha > 0 and self.options.method == "ucb":
            scores = scores + alpha * posterior.measure_deviations(inputs)
        none = np.zeros(len(scores), np.float32)
        return self.scorer.fill(observation, scores.astype(np.float32), none, cap=self.scorer.slots)

    def _read_lesson(
        self, shown: Floats, slates: NDArray[np.int64], choice: NDArray[np.int64], minutes: NDArray[np.floating]
    ) -> tuple[Floats, Floats, Floats]:
        """Inputs (B, K, d), rewards (B, K) and weights (B, K) that slates and responses teach."""
        slots = self.scorer.slots
        paid = np.asarray(minutes, np.float64) if self.options.reward == "minutes" else np.ones(len(choice))
        rewards = np.where(np.arange(slots) == choice[:, None], paid[:, None], 0.0)
        weights = weigh_slots(choice, slots, self.options.feedback) * (slates > 0)
        return shown * self._attention[:, None], rewards, weights

    def _learn_from(
        self, shown: Floats, slates: NDArray[np.int64], choice: NDArray[np.int64], minutes: NDArray[np.floating]
    ) -> float:
        inputs, rewards, weights = self._read_lesson(shown, slates, choice, minutes)
        flat = inputs.reshape(-1, inputs.shape[2])
        self.posterior = self._learned.learn(flat, rewards.ravel(), weights.ravel())
        self.slots_learned += float(weights.sum())
        return float(rewards.sum(axis=1).mean())


def select_shown(inputs: Floats, observation: Observation, slates: NDArray[np.int64]) -> Floats:
    """(B, K, d) inputs of the items of slates, 0 where a slot is empty."""
    place = (observation["candidates"][:, None, :] == slates[:, :, None]).argmax(axis=2)
    shown = np.take_along_axis(inputs, place[:, :, None], axis=1)
    return np.where(slates[:, :, None] > 0, shown, 0.0)


def draw_normals(observation: Observation, width: int, seed: int) -> Floats:
    """(B, d) standard normal numbers, each row seeded by what is visible of that user, whatever the batch."""
    rows = zip(observation["candidates"], observation["context"], strict=True)
    digests = (zlib.crc32(context.tobytes(), zlib.crc32(row.tobytes(), seed)) for row, context in rows)
    return np.stack([np.random.default_rng(digest).standard_normal(width) for digest in digests])


def _check_env(env: Any, world: World, slots: int, steps: int) -> None:
    """Refuse an environment that the loop of `LinearBandit.learn` would misread."""
    if steps <= WARM_UP:
        raise ValueError(f"steps = {steps!r} is out of range; allowed: at least {WARM_UP + 1}")
    mode = AutoresetMode(env.metadata["autoreset_mode"])
    if mode != AutoresetMode.SAME_STEP:
        raise ValueError(f"autoreset_mode = {mode.value!r} is not learned from; make the environment with 'SameStep'")
    if "candidates" not in env.single_observation_space.spaces:
        raise ValueError("the environment shows no candidates; make it with candidates=True")
    slates = MultiDiscrete([len(world.catalog) + 1] * slots)
    if env.single_action_space != slates:
        raise ValueError(f"actions are {env.single_action_space}, slates are {slates}; make it with action='items'")
    reward = env.unwrapped.reward
    if reward != "minutes":
        raise ValueError(f"reward = {reward!r} is not learned from; make the environment with reward='minutes'")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a bandit's two files say, if they belong together."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        content = (path.parent / Path(about["file"]).name).read_bytes()
        missing = {"features", "slots", "options", "slots_learned", "seed", "sha256", "format"} - about.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read ({error!r}); name a folder that save() wrote") from error
    if about.get("format") != _FORMAT or missing:
        raise ValueError(f"{path}: format = {about.get('format')!r}, here it must be {_FORMAT}; learn again")
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(f"{path}: {about['file']} is damaged, its checksum is wrong; learn again")
    try:
        return about, load(content)
    except SafetensorError as error:
        raise ValueError(f"{path}: {about['file']} is damaged ({error}); learn again") from error


@dataclass(frozen=True)
class BanditModel(FittedModel[LinearBandit]):
    """A linear bandit that has learned from training users, by a method and an exploration."""

    method: str
    alpha: float

    def make(self, models: RuleModels) -> LinearBandit:
        """Let it learn."""
        bandit = LinearBandit(models.setting.world, models.scorer, BanditOptions(self.method, alpha=self.alpha))
        models.say(f"{bandit.name} learns with α = {self.alpha:g}")
        env = models.setting.vector_env(LOGGERS, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        bandit.learn(env, WARM_UP + models.logged_steps, models.seed)
        return bandit

    def save(self, model: LinearBandit, folder: Path) -> None:
        """Write options and posterior."""
        model.save(folder / BANDIT)

    def load(self, folder: Path, models: RuleModels) -> LinearBandit:
        """Read options and posterior."""
        return LinearBandit.load(folder / BANDIT, models.setting.world, models.scorer)


def make_bandit_rule(
    method: str,
    title: str,
    about: str,
    kind: type[LinearBandit] = LinearBandit,
    options: type[BanditRuleOptions] = BanditRuleOptions,
    note: str = "",
) -> Rule:
    """The rule that plays a bandit of a class, taught by a method of `BanditOptions`; `note` is of further options."""

    def need(chosen: BanditRuleOptions) -> BanditModel:
        return BanditModel(method, chosen.alpha)

    def build(models: RuleModels, chosen: BanditRuleOptions) -> LinearBandit:
        bandit = kind(models.setting.world, models.scorer, BanditOptions(method, **vars(chosen)))
        return bandit.take_over(models.get(need(chosen)))

    note = "bandit feedback on {slates} slates, α = {alpha:.3g}, {play_alpha:.2g} when played" + note
    return Rule(kind, title, about, build, options, note, need)


RULES.register(
    "linucb",
    make_bandit_rule("ucb", title="LinUCB", about="minutes linear in features, learned by optimism"),
    quick=False,
)
RULES.register(
    "lints",
    make_bandit_rule("thompson", title="LinTS", about="minutes linear in features, learned by posterior draws"),
    quick=False,
)
