"""What the study needs of each scenario beside trainings: fitted models, tuned rules, the linear oracle's weights."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longplay.agents.base import Agent
from longplay.agents.playing.cross_entropy import CrossEntropyOptions
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.playing.sweep import SweepOptions
from longplay.agents.references.linear import LinearOracle
from longplay.agents.registry import RULES
from longplay.agents.rules.context import LOG_LIVES, LOG_USERS, LOGGED_STEPS, RuleModels
from longplay.agents.rules.encoded import LOG_RANDOM
from longplay.agents.rules.tuning import FILE, TunedRule, is_current, read_rule, save_rule, tune_or_load
from longplay.agents.setting import Setting

Say = Callable[[str, float], None]
LINEAR = "linear.json"
SCORES = ("minutes", "als")  # rules whose fitted models give further features of candidates
POLICY_OF_LOGS = (
    f"Predicted minutes were fitted on {LOGGED_STEPS} slates each of 256 training users, chosen by random weights of "
    f"the scoring features; encoders on {LOG_LIVES} months each of {LOG_USERS:,} training users, {LOG_RANDOM:.0%} of "
    "whose slates were random and the others those of greedy similarity."
)
SEARCH = CrossEntropyOptions(users=100, population=24, elites=6, iterations=8, spread=0.4)  # of the linear oracle
PLAIN: dict[str, Any] = {"more": False, "sweep": SweepOptions(grid=(0.0,))}  # as version 0 of the worlds was searched


@functools.cache
def get_setting(env: str) -> Setting:
    """The setting of an environment by its short name, such as Video; its world is built once in each process."""
    return Setting(f"longplay/{env}-v0")


def share_models(setting: Setting, folder: Path, say: Say = lambda what, share: None) -> RuleModels:
    """What the rules of a scenario share, with the models fitted before where there are any in the folder."""
    models = RuleModels(setting, lambda what: say(what, 0.0), LOGGED_STEPS, LOG_USERS, LOG_LIVES)
    models.scorer = setting.scorer
    for name in SCORES:
        if is_fitted(folder / name, models):
            key = RULES[name].needs(RULES[name].options())
            models.put(key, key.load(folder / name, models))
    return models


def is_fitted(folder: Path, models: RuleModels) -> bool:
    """Whether a folder holds a rule's model as it would be fitted now, by settings and budget."""
    if not (folder / FILE).is_file():
        return False
    tuned = read_rule(folder, models.setting)
    return tuned.search == models.budget and is_current(folder, tuned)


@dataclass(frozen=True)
class Preparation:
    """What a scenario needs beside its trainings: plain data, which another process can be given.

    Attributes
    ----------
    env
        Name of the scenario.
    folder
        Where what is fitted, tuned, trained and played is kept.
    rules, users, trials
        Rules to tune, on so many validation users, in so many trials.
    linear
        Whether the linear oracle's weights are searched, too.
    """

    env: str
    folder: Path
    rules: tuple[str, ...]
    users: int
    trials: int
    linear: bool

    def __str__(self) -> str:
        return self.env

    def has_scores(self) -> bool:
        """Whether the models are there whose scores agents are given."""
        folder = self.folder / "scores"
        models = share_models(get_setting(self.env), folder)
        return all(is_fitted(folder / name, models) for name in SCORES)

    def has_rules(self) -> bool:
        """Whether rules and weights are there."""
        files = [self.folder / "rules" / name / FILE for name in self.rules]
        return all(file.is_file() for file in [*files, *([self.folder / LINEAR] if self.linear else [])])


def fit_scores(preparation: Preparation) -> None:
    """Fit the models whose scores agents are given: predicted minutes and matrix factorisation."""
    setting, folder = get_setting(preparation.env), preparation.folder / "scores"
    models = share_models(setting, folder)
    for name in SCORES:
        if not is_fitted(folder / name, models):
            save_rule(TunedRule(name, RULES[name].options(), search=models.budget), folder / name, models)


def tune_rules(preparation: Preparation) -> None:
    """Tune the rules, and search the linear oracle's weights."""
    load_rules(preparation)
    if preparation.linear:
        load_linear(preparation)


def load_rules(preparation: Preparation, say: Say = lambda what, share: None) -> dict[str, tuple[TunedRule, Agent]]:
    """The rules by name, tuned on validation users; those kept in ``rules`` are not tuned again."""
    setting = get_setting(preparation.env)
    models = share_models(setting, preparation.folder / "scores", say)
    people = held_out_users(setting.world, "validation", preparation.users)
    evaluator = Evaluator(setting.world, setting.item_vectors, people, VALIDATION_LUCK)
    folder, trials = preparation.folder / "rules", preparation.trials
    return {name: tune_or_load(name, models, evaluator, trials, folder) for name in preparation.rules}


def load_linear(preparation: Preparation, say: Say = lambda what, share: None) -> LinearOracle:
    """The linear oracle, its weights searched once."""
    setting, file = get_setting(preparation.env), preparation.folder / LINEAR
    if not file.is_file():
        search: dict[str, Any] = {} if setting.world.scenario.memory else {"search": SEARCH, **PLAIN}
        LinearOracle.fit(setting.world, setting.item_vectors, progress=say, **search).save(file)
    return LinearOracle.load(file, setting.world)


def check_same_items(home: Setting, away: Setting) -> None:
    """Refuse a shifted world of other items: what was fitted on the plain one would not fit."""
    home_digest, away_digest = home.world.catalog.digest, away.world.catalog.digest
    if home_digest != away_digest:
        raise ValueError(
            f"{away.env} has other items than {home.env} "
            f"(digest {away_digest[:12]}, not {home_digest[:12]}); policies cannot move there"
        )
