"""A budgeted search for the options of rules, the same for all, and tuned rules on disk."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from ...envs.candidates.scoring import Scorer
from ...envs.shared.files import filling, write_whole
from ...envs.shared.options import Options, make_options
from ...envs.users.world import World
from ..base import Agent
from ..fresh import FRESH, check_shown
from ..options import make_space
from ..playing.evaluate import Evaluator
from ..registry import ALWAYS, RULES
from .context import LOGGED_STEPS, LOGGERS, RuleModels

if TYPE_CHECKING:
    from ..setting import Setting

FILE = "rule.json"
QUICK = tuple(name for name, card in RULES.cards.items() if card.words.get("quick", True))  # nothing learns for long
TRIALS = 6  # of each rule, by default
PROPOSALS = 20  # at most, for each trial: in a small space the estimator repeats itself
_FORMAT = 2  # 2: novelty in hours where items age


def list_quick_rules(world: World) -> tuple[str, ...]:
    """Names of the rules of `QUICK` that a world offers."""
    return tuple(name for name in QUICK if world.scenario.memory or not is_always_fresh(name))


def check_rules(names: Sequence[str], world: World, field: str = "names") -> None:
    """Raise ValueError for a rule that there is not, or that a world does not offer; `field` is what gave the names."""
    for name in names:
        RULES.card(name, field)
        if is_always_fresh(name):
            check_shown(world, f"{field} = {name!r}")


def is_always_fresh(name: str) -> bool:
    """Whether only worlds that say what they have shown offer a rule; its file is not imported."""
    return RULES.card(name).words.get(FRESH) == ALWAYS


@dataclass(frozen=True)
class TunedRule:
    """A rule with options, and how they were found.

    Attributes
    ----------
    rule
        Name of the rule in `RULES`.
    options
        Options in force.
    trials
        One row a trial: the options and the mean ``minutes`` of the validation users; empty if it was not tuned.
    search
        All that the search depended on; see `describe_search`.
    """

    rule: str
    options: Options
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    search: Mapping[str, Any] = field(default_factory=dict)

    def build(self, models: RuleModels) -> Agent:
        """Make the agent that follows the rule with these options."""
        return RULES[self.rule].make(models, self.options)

    def describe(self) -> dict[str, Any]:
        """The rule, its options, and all that the search for them depended on, as plain data."""
        return {"rule": self.rule, "options": asdict(self.options), "search": dict(self.search)}

    @property
    def note(self) -> str:
        """The options in words."""
        words: dict[str, Any] = vars(self.options)
        if words.get("on") == "minutes":
            words = {**words, "on": "predicted minutes"}
        slates, rule = LOGGERS * int(self.search.get("logged_steps", LOGGED_STEPS)), RULES[self.rule]
        note = rule.note.format(**words, slates=f"{slates:,}")
        return ", ".join(filter(None, [note, FRESH if rule.is_fresh(self.options) else ""]))


def describe_search(models: RuleModels, evaluator: Evaluator, trials: int, seed: int) -> dict[str, Any]:
    """All that the outcome of a search depends on besides rule and setting."""
    users = {"users": [int(evaluator.users[0]), len(evaluator.users)], "luck": evaluator.luck}
    return {"trials": trials, "seed": seed, **users, **models.budget}


def tune(name: str, models: RuleModels, evaluator: Evaluator, trials: int = TRIALS, seed: int = 0) -> TunedRule:
    """Search for the options of most minutes.

    The first trial is of the defaults, and in worlds that say what they have shown the second is the same not fresh.
    Where there are no more combinations than trials, all are tried; otherwise the tree-structured Parzen estimator
    proposes the others, and what it proposes again does not count.

    Parameters
    ----------
    name
        Name of the rule in `RULES`.
    models
        What the rules of the setting share.
    evaluator
        Evaluation on validation users; the same for all rules.
    trials
        Options tried at most; the same for all rules.
    seed
        Seed of the search.
    """
    rule = RULES[name]
    if trials < 1:
        raise ValueError(f"trials = {trials!r} is out of range; allowed: from 1, which tries the defaults")
    search, kind = describe_search(models, evaluator, trials, seed), rule.choose_options(models.setting.world)
    space = make_space(kind)
    if not space:
        return TunedRule(name, kind(), search=search)
    table: list[dict[str, Any]] = []
    best, most = kind(), -math.inf
    for options, values in propose_options(kind, space, trials, seed):
        models.say(f"{rule.title}: trial {len(table) + 1} of at most {trials}")
        minutes = evaluator.mean_minutes(rule.make(models, options))
        values.append(minutes)
        table.append({**asdict(options), "minutes": minutes})
        if minutes > most:
            best, most = options, minutes
    return TunedRule(name, best, pd.DataFrame(table), search)


def propose_options(
    kind: type[Options], space: Mapping[str, BaseDistribution], trials: int, seed: int
) -> Iterator[tuple[Options, list[float]]]:
    """Options to try, all different, the defaults first; each comes with a list that is to be given their value."""
    defaults = asdict(kind())
    given = [defaults, defaults | {FRESH: False}] if FRESH in space else [defaults]
    if math.prod(_count_values(distribution) for distribution in space.values()) <= trials:
        grid = [dict(zip(space, point, strict=True)) for point in itertools.product(*map(_list_values, space.values()))]
        yield from ((kind(**point), []) for point in sorted(grid, key=lambda point: point != defaults))
        return
    values: dict[Options, list[float]] = {}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, trials // 3) + len(given) - 1)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for point in given:
            study.enqueue_trial(point)
        for _ in range(PROPOSALS * trials):
            trial = study.ask(dict(space))
            options = kind(**trial.params)
            if options not in values:
                values[options] = []
                yield options, values[options]
            study.tell(trial, values[options][0])
            if len(values) == trials:
                return
    finally:
        optuna.logging.set_verbosity(level)


def _count_values(distribution: BaseDistribution) -> float:
    finite = isinstance(distribution, IntDistribution | CategoricalDistribution)
    return len(_list_values(distribution)) if finite else math.inf


def _list_values(distribution: BaseDistribution) -> list[Any]:
    """All that an option can be, where that is finite."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1))


def identify_setting(setting: Setting) -> dict[str, Any]:
    """What a tuned rule belongs to: items, user model and people, and the text encoder, whatever their files' names."""
    world = setting.world
    about = {"catalog": world.catalog.digest, "scenario": world.scenario.digest, "world_seed": setting.world_seed}
    return about | {"bert": setting.bert}


def save_rule(tuned: TunedRule, folder: Path, models: RuleModels) -> None:
    """Write a rule and what it was fitted with, whole or not at all.

    Raises
    ------
    ValueError
        If the folder holds something else.
    """
    if folder.exists() and not (folder / FILE).is_file() and any(folder.iterdir()):
        raise ValueError(f"{folder} exists and holds no rule; give another name, or remove it")
    temporary, old = (folder.with_name(folder.name + end) for end in (".tmp", ".old"))
    shutil.rmtree(old, ignore_errors=True)
    with filling(temporary):
        key = RULES[tuned.rule].needs(tuned.options)
        if key is not None:
            key.save(models.get(key), temporary)
        content = {
            "format": _FORMAT,
            "rule": tuned.rule,
            "options": asdict(tuned.options),
            "setting": identify_setting(models.setting),
            "search": dict(tuned.search),
            "trials": tuned.trials.to_dict("records"),
        }
        write_whole(temporary / FILE, json.dumps(content, indent=1) + "\n")
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_rule(folder: Path, setting: Setting, scorer: Scorer | None = None) -> tuple[TunedRule, Agent]:
    """Read a rule that `save_rule` wrote, and build it with what it was fitted with.

    Parameters
    ----------
    folder
        Where it was saved.
    setting
        What it was tuned on.
    scorer
        Scoring features of the setting, where they are there already.

    Raises
    ------
    ValueError
        If the folder holds no rule, or one of another setting or version.
    """
    tuned = read_rule(folder, setting)
    models = RuleModels(setting)
    if scorer is not None:
        models.scorer = scorer
    key = RULES[tuned.rule].needs(tuned.options)
    if key is not None:
        models.put(key, key.load(folder, models))
    return tuned, tuned.build(models)


def read_rule(folder: Path, setting: Setting) -> TunedRule:
    """What a folder says of its rule; refuses as `load_rule` does, but loads nothing else."""
    file = folder / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, here it is {_FORMAT}")
        name = str(content["rule"])
        rule, values = RULES[name], content["options"]
        options = make_options(name, rule.fresh_options if FRESH in values else rule.options, values)
        theirs, search, trials = content["setting"], dict(content["search"]), pd.DataFrame(content["trials"])
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error}); name a folder that holds a saved rule") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} describes no rule of this version: {error}; tune it again") from error
    ours = identify_setting(setting)
    differ = [key for key, value in ours.items() if theirs.get(key) != value]
    if differ:
        raise ValueError(f"{folder} was tuned on another {', '.join(differ)}; tune the rule again, in another folder")
    return TunedRule(name, options, trials, search)


def is_current(folder: Path, tuned: TunedRule) -> bool:
    """Whether the model saved with a rule, if any, is as it would be fitted now."""
    key = RULES[tuned.rule].needs(tuned.options)
    return key is None or bool(key.is_current(folder))


def tune_or_load(
    name: str, models: RuleModels, evaluator: Evaluator, trials: int = TRIALS, folder: Path | None = None, seed: int = 0
) -> tuple[TunedRule, Agent]:
    """A rule tuned with this budget, from the folder's own ``name`` where it was saved there already."""
    own_folder = None if folder is None else folder / name
    if own_folder is not None and (own_folder / FILE).is_file():
        tuned = read_rule(own_folder, models.setting)
        if tuned.search == describe_search(models, evaluator, trials, seed) and is_current(own_folder, tuned):
            return load_rule(own_folder, models.setting, models.scorer)
    tuned = tune(name, models, evaluator, trials, seed)
    agent = tuned.build(models)
    if own_folder is not None:
        save_rule(tuned, own_folder, models)
    return tuned, agent
