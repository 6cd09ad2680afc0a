"""The rules by name: what each is, which options it has, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from gymnasium.vector import AutoresetMode

from ...encoders.base import Encoder
from ...encoders.data.interactions import Interactions, clean
from ...encoders.data.splits import hold_back
from ...encoders.registry import ENCODERS
from ...envs.candidates.scoring import Scorer
from ..base import Agent
from ..logs.collect import PAST, collect, make_env
from ..logs.exploring import Exploring
from ..playing.evaluate import held_out_users
from ..playing.luck import RULE_LOG_LUCK
from ..references.linear import LinearOracle
from ..references.oracles import MyopicOracle, TasteOracle
from ..setting import Setting
from .bandits.linear import WARM_UP, BanditOptions, LinearBandit
from .bandits.personal import PersonalBandit
from .diversity import DPP, MMR
from .fatigue import FatigueAware
from .minutes import LOGGED_STEPS, PredictedMinutes, fit_minutes
from .options import (
    MINUTES,
    BanditRuleOptions,
    CapOptions,
    DPPOptions,
    EncoderOptions,
    FatigueOptions,
    MMROptions,
    Options,
    PersonalOptions,
    RoundRobinOptions,
    SoftmaxOptions,
)
from .ranking import Score, encoder_score, similarity_score
from .similarity import GreedySimilarity, Softmax
from .simple import Popularity, RandomCandidates, RandomSlate
from .topics import RoundRobin, StaticCap

LOGGERS = 256  # training users whose steps predicted minutes are fitted on, and bandits learn from
LOG_USERS = 8000  # training users whose interactions the encoders are fitted on
LOG_LIVES = 4  # months of each of them, one after the other, with other luck
LOG_RANDOM = 0.5  # share of their slates that is random; greedy similarity chooses the others
PLAYERS = 250  # who play together while the log is collected
# Settings of encoders fitted on that log, where others than their defaults rank validation users' candidates better.
FITTED: dict[str, dict[str, Any]] = {"als": {"width": 32, "alpha": 60.0, "regularisation": 0.2}}


def _linear(setting: Setting, file: Path | None = None) -> Agent:
    return LinearOracle(setting.world) if file is None else LinearOracle.load(file, setting.world)


REFERENCES: dict[str, Callable[..., Agent]] = {  # of a setting; the linear one of a file of weights, too
    "myopic": lambda setting: MyopicOracle(setting.world),
    "taste": lambda setting: TasteOracle(setting.world),
    "linear": _linear,
}


class Context:
    """What the rules of one setting share, each part made when it is first asked for.

    Parameters
    ----------
    setting
        What is recommended to whom.
    say
        Told what takes long.
    logged_steps
        Steps of `LOGGERS` training users that predicted minutes are fitted on, and as many that bandits learn from.
    log_users
        Training users whose interactions the encoders are fitted on; all of them where there are fewer.
    log_lives
        Months of each of them.
    seed
        Of the fits.
    """

    def __init__(
        self,
        setting: Setting,
        say: Callable[[str], object] = lambda what: None,
        logged_steps: int = LOGGED_STEPS,
        log_users: int = LOG_USERS,
        log_lives: int = LOG_LIVES,
        seed: int = 0,
    ) -> None:
        self.setting, self.say = setting, say
        self.logged_steps, self.log_users, self.log_lives, self.seed = logged_steps, log_users, log_lives, seed
        self.encoders: dict[str, Encoder] = {}
        self.bandits: dict[tuple[str, float], LinearBandit] = {}

    @property
    def budget(self) -> dict[str, int]:
        """What the fits may use."""
        log = {"log_users": self.log_users, "log_lives": self.log_lives}
        return {"logged_steps": self.logged_steps, **log, "fit_seed": self.seed}

    @cached_property
    def scorer(self) -> Scorer:
        """Scoring features of candidates."""
        return Scorer(self.setting.world, self.setting.item_vectors)

    @cached_property
    def minutes(self) -> PredictedMinutes:
        """Predicted minutes."""
        self.say("fitting predicted minutes on logged steps")
        env = self.setting.vector_env(LOGGERS, "items", autoreset_mode=AutoresetMode.SAME_STEP)
        return fit_minutes(self.scorer, env, self.logged_steps, self.seed)

    @cached_property
    def log(self) -> Interactions:
        """What training users consumed, half of whose slates are random."""
        world = self.setting.world
        users = held_out_users(world, "train", min(self.log_users, len(world.split("train"))))
        tables = []
        for start in range(0, len(users), PLAYERS):
            self.say(f"collecting interactions: {start:,} of {len(users):,} users")
            some = users[start : start + PLAYERS]
            env = make_env(world, len(some), self.setting.item_vectors)
            for life in range(self.log_lives):
                policy = Exploring(world, GreedySimilarity(self.scorer), LOG_RANDOM, self.seed + life)
                part = collect(env, policy, some, RULE_LOG_LUCK + life)
                lived = part.log.drop(columns="item").merge(part.users[["user", "profile"]], on="user")
                lived["time"] += life * world.scenario.params.horizon_days
                # No rule's encoder learns from what was shown in vain, most rows by far. All lives have the same past.
                new = lived["consumed"] & ((lived["session"] != PAST) | (life == 0))
                tables.append(lived[new])
        return clean(pd.concat(tables, ignore_index=True), world.catalog.ids, item="item_id")

    def encoder(self, name: str) -> Encoder:
        """An encoder of the registry, fitted on the log by its own settings."""
        if name not in self.encoders:
            train, validation = hold_back(self.log)
            self.say(f"fitting {name} on {len(train):,} rows")
            made = ENCODERS[name].make(self.setting.items, **FITTED.get(name, {}))
            self.encoders[name] = made.fit(train, validation, seed=self.seed)
        return self.encoders[name]

    def bandit(self, method: str, alpha: float) -> LinearBandit:
        """A linear bandit that has learned from training users, by ``"ucb"`` or ``"thompson"``."""
        if (method, alpha) not in self.bandits:
            made = LinearBandit(self.setting.world, self.scorer, BanditOptions(method, alpha=alpha))
            self.say(f"{made.name} learns with α = {alpha:g}")
            env = self.setting.vector_env(LOGGERS, "items", autoreset_mode=AutoresetMode.SAME_STEP)
            made.learn(env, WARM_UP + self.logged_steps, self.seed)
            self.bandits[method, alpha] = made
        return self.bandits[method, alpha]

    def score(self, on: str) -> Score:
        """The scoring rule that other rules build on."""
        return self.minutes.score if on == MINUTES else similarity_score(self.scorer)


@dataclass(frozen=True)
class Rule:
    """A rule by name.

    Attributes
    ----------
    title
        As in tables.
    about
        One line.
    build
        The agent, of a context and options.
    options
        Their type; `Options` itself for none.
    note
        What a table says of the options, by their names; `slates` is how many taught a bandit.
    fitted
        What is fitted whatever the options: ``"minutes"``, a bandit's method, or an encoder's name; ``""`` for nothing.
    """

    title: str
    about: str
    build: Callable[[Context, Any], Agent]
    options: type[Options] = Options
    note: str = ""
    fitted: str = ""

    def needs(self, options: Options) -> str:
        """What is fitted for these options: as `fitted`."""
        return MINUTES if getattr(options, "on", "") == MINUTES else self.fitted

    def describe(self, options: Options, logged_steps: int = LOGGED_STEPS) -> str:
        """The options in words, for a table; bandits learned from so many steps, as `Context` says."""
        words: dict[str, Any] = {**vars(options), "slates": f"{LOGGERS * logged_steps:,}"}
        if words.get("on") == MINUTES:
            words["on"] = "predicted minutes"
        return self.note.format(**words)


def _encoder_rule(name: str, title: str, about: str) -> Rule:
    def build(context: Context, options: EncoderOptions) -> Agent:
        return StaticCap(context.scorer, encoder_score(context.encoder(name)), options.cap, title)

    return Rule(title, about, build, EncoderOptions, "at most {cap} per topic (0: any)", name)


def _bandit_rule(kind: type[LinearBandit], method: str, title: str, about: str) -> Rule:
    def build(context: Context, options: BanditRuleOptions) -> Agent:
        chosen = BanditOptions(method, **vars(options))
        return kind(context.setting.world, context.scorer, chosen).taught(context.bandit(method, options.alpha))

    own = kind is PersonalBandit
    note = "bandit feedback on {slates} slates, α = {alpha:.3g}, {play_alpha:.2g} when played"
    note += ", prior of {prior_slots:.3g} slots" if own else ""
    return Rule(title, about, build, PersonalOptions if own else BanditRuleOptions, note, method)


RULES: dict[str, Rule] = {
    "random": Rule(
        "random",
        "items of the whole catalogue at random",
        lambda c, o: RandomSlate(c.setting.world),
        note="whole catalogue",
    ),
    "random-candidates": Rule("random candidates", "candidates at random", lambda c, o: RandomCandidates(c.scorer)),
    "popularity": Rule("popularity", "the candidates talked about most", lambda c, o: Popularity(c.scorer)),
    "similarity": Rule(
        "greedy similarity",
        "the largest cosines with the pooled history",
        lambda c, o: GreedySimilarity(c.scorer),
        note="BERT cosine to the pooled history",
    ),
    "softmax": Rule(
        "softmax",
        "drawn by the softmax of inner products with the pooled history",
        lambda c, o: Softmax(c.scorer, c.setting.item_vectors, o.temperature),
        SoftmaxOptions,
        "temperature {temperature:.3g}",
    ),
    "minutes": Rule(
        "greedy minutes",
        "the most predicted minutes",
        lambda c, o: c.minutes,
        note="boosted trees on logged steps",
        fitted=MINUTES,
    ),
    "mmr": Rule(
        "MMR", "maximal marginal relevance", lambda c, o: MMR(c.scorer, o.trade_off), MMROptions, "λ = {trade_off:.3g}"
    ),
    "dpp": Rule(
        "DPP",
        "greedy MAP of a determinantal point process",
        lambda c, o: DPP(c.scorer, c.score(o.on), o.theta),
        DPPOptions,
        "θ = {theta:.3g} on {on}",
    ),
    "static-cap": Rule(
        "static cap",
        "greedy with at most so many items per main topic",
        lambda c, o: StaticCap(c.scorer, c.score(o.on), o.cap),
        CapOptions,
        "at most {cap} per topic on {on}",
    ),
    "round-robin": Rule(
        "round robin",
        "the best item of each of the user's topics in turn",
        lambda c, o: RoundRobin(c.scorer, c.score(o.on), o.topics),
        RoundRobinOptions,
        "{topics} topics on {on}",
    ),
    "fatigue": Rule(
        "fatigue-aware",
        "greedy less estimated satiation",
        lambda c, o: FatigueAware(c.scorer, c.score(o.on), o.tau, o.alpha, o.variety),
        FatigueOptions,
        "τ = {tau:.2g} d, α = {alpha:.2g}, variety {variety:.2g} on {on}",
    ),
    "linucb": _bandit_rule(LinearBandit, "ucb", "LinUCB", "minutes linear in features, learned by optimism"),
    "lints": _bandit_rule(LinearBandit, "thompson", "LinTS", "minutes linear in features, learned by posterior draws"),
    "personal-linucb": _bandit_rule(PersonalBandit, "ucb", "personal LinUCB", "LinUCB that learns on with each user"),
    "personal-lints": _bandit_rule(PersonalBandit, "thompson", "personal LinTS", "LinTS that learns on with each user"),
    "user-knn": _encoder_rule("user-knn", "user kNN", "what neighbours of the user consumed"),
    "item-knn": _encoder_rule("item-knn", "item kNN", "neighbours of the history's items"),
    "als": _encoder_rule("als", "matrix factorisation", "implicit matrix factorisation by alternating least squares"),
    "tower-heads": _encoder_rule("tower-heads", "two towers", "two towers over a BERT that stays as it is"),
    "lightgcn": _encoder_rule("lightgcn", "LightGCN", "linear propagation on the graph of users and items"),
}
QUICK = tuple(name for name, rule in RULES.items() if rule.fitted in ("", MINUTES))  # tuned in seconds: nothing learns
