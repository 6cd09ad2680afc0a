"""A budgeted search for the options of rules, the same for all, and tuned rules on disk."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from ...encoders.base import read_header
from ...encoders.registry import load_encoder
from ...envs.candidates.scoring import Scorer
from ...envs.shared.files import write_whole
from ...envs.shared.names import one_of
from ..base import Agent
from ..playing.evaluate import Evaluator
from ..setting import Setting
from .bandits.linear import LinearBandit
from .minutes import PredictedMinutes, Trees
from .options import MINUTES, BanditRuleOptions, Options
from .table import FITTED, RULES, Context

FILE, TREES, ENCODER, BANDIT = "rule.json", "minutes.safetensors", "encoder", "bandit"
TRIALS = 6  # of each rule, by default
PROPOSALS = 20  # at most, for each trial: in a small space the estimator repeats itself
_FORMAT = 2  # 2: novelty in hours where items age


@dataclass(frozen=True)
class Tuned:
    """A rule with options, and how they were found.

    Attributes
    ----------
    rule
        Of `RULES`.
    options
        Those in force.
    trials
        One row a trial: the options and the mean ``minutes`` of the validation users; empty if it was not tuned.
    search
        What the search was given; `tune` says what.
    """

    rule: str
    options: Options
    trials: pd.DataFrame = field(default_factory=pd.DataFrame)
    search: Mapping[str, Any] = field(default_factory=dict)

    def agent(self, context: Context) -> Agent:
        """The rule with these options."""
        return RULES[self.rule].build(context, self.options)

    @property
    def note(self) -> str:
        """The options in words."""
        budget = {name: self.search[name] for name in ("logged_steps",) if name in self.search}
        return RULES[self.rule].describe(self.options, **budget)


def searched(context: Context, evaluator: Evaluator, trials: int, seed: int) -> dict[str, Any]:
    """All that the outcome of a search depends on besides rule and setting."""
    users = {"users": [int(evaluator.users[0]), len(evaluator.users)], "luck": evaluator.luck}
    return {"trials": trials, "seed": seed, **users, **context.budget}


def tune(name: str, context: Context, evaluator: Evaluator, trials: int = TRIALS, seed: int = 0) -> Tuned:
    """Search for the options of most minutes.

    The first trial is of the defaults. Where there are no more combinations than trials, all are tried; otherwise the
    tree-structured Parzen estimator proposes them, and what it proposes again does not count.

    Parameters
    ----------
    name
        Of `RULES`.
    evaluator
        Of validation users; the same for all rules.
    trials
        The budget; the same for all rules.
    seed
        Of the search.
    """
    rule = RULES[one_of("rule", name, RULES)]
    if trials < 1:
        raise ValueError(f"trials = {trials!r} is out of range; allowed: from 1, which tries the defaults")
    search = searched(context, evaluator, trials, seed)
    space = rule.options.space()
    if not space:
        return Tuned(name, rule.options(), search=search)
    rows: list[dict[str, Any]] = []
    best, most = rule.options(), -math.inf
    for options, told in _proposals(rule.options, space, trials, seed):
        context.say(f"{rule.title}: trial {len(rows) + 1} of at most {trials}")
        told.append(evaluator.mean_minutes(rule.build(context, options)))
        rows.append({**asdict(options), "minutes": told[0]})
        if told[0] > most:
            best, most = options, told[0]
    return Tuned(name, best, pd.DataFrame(rows), search)


def _proposals(
    kind: type[Options], space: Mapping[str, BaseDistribution], trials: int, seed: int
) -> Iterator[tuple[Options, list[float]]]:
    """Options to try, all different, the defaults first; each comes with a list that is to be given their value."""
    defaults = asdict(kind())
    if math.prod(_count(distribution) for distribution in space.values()) <= trials:
        grid = [dict(zip(space, row, strict=True)) for row in itertools.product(*map(_values, space.values()))]
        yield from ((kind(**row), []) for row in sorted(grid, key=lambda row: row != defaults))
        return
    known: dict[Options, list[float]] = {}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, trials // 3))
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial(defaults)
        for _ in range(PROPOSALS * trials):
            trial = study.ask(dict(space))
            options = kind(**trial.params)
            if options not in known:
                known[options] = []
                yield options, known[options]
            study.tell(trial, known[options][0])
            if len(known) == trials:
                return
    finally:
        optuna.logging.set_verbosity(level)


def _count(distribution: BaseDistribution) -> float:
    finite = isinstance(distribution, IntDistribution | CategoricalDistribution)
    return len(_values(distribution)) if finite else math.inf


def _values(distribution: BaseDistribution) -> list[Any]:
    """All that an option can be, where that is finite."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution)
    return list(range(distribution.low, distribution.high + 1))


def identity(setting: Setting) -> dict[str, Any]:
    """What a tuned rule belongs to: items, user model and people, and the text encoder, whatever their files' names."""
    world = setting.world
    about = {"catalog": world.catalog.digest, "scenario": world.scenario.digest, "world_seed": setting.world_seed}
    return about | {"bert": setting.bert}


def save(tuned: Tuned, folder: Path, context: Context) -> None:
    """Write a rule and what it was fitted with, whole or not at all.

    Raises
    ------
    ValueError
        If the folder holds something else.
    """
    if folder.exists() and not (folder / FILE).is_file() and any(folder.iterdir()):
        raise ValueError(f"{folder} exists and holds no rule; give another name, or remove it")
    temporary, old = (folder.with_name(folder.name + end) for end in (".tmp", ".old"))
    for path in (temporary, old):
        shutil.rmtree(path, ignore_errors=True)
    temporary.mkdir(parents=True)
    needs = RULES[tuned.rule].needs(tuned.options)
    if needs == MINUTES:
        context.minutes.model.save(temporary / TREES)
    elif isinstance(tuned.options, BanditRuleOptions):
        context.bandit(needs, tuned.options.alpha).save(temporary / BANDIT)
    elif needs:
        context.encoder(needs).save(temporary / ENCODER)
    content = {
        "format": _FORMAT,
        "rule": tuned.rule,
        "options": asdict(tuned.options),
        "setting": identity(context.setting),
        "search": dict(tuned.search),
        "trials": tuned.trials.to_dict("records"),
    }
    write_whole(temporary / FILE, json.dumps(content, indent=1) + "\n")
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, setting: Setting, scorer: Scorer | None = None) -> tuple[Tuned, Agent]:
    """Read a rule that `save` wrote, and build it with what it was fitted with.

    Parameters
    ----------
    scorer
        Of the setting, where there is one already.

    Raises
    ------
    ValueError
        If the folder holds no rule, or one of another setting or version.
    """
    tuned = read(folder, setting)
    context = Context(setting)
    if scorer is not None:
        context.scorer = scorer
    needs = RULES[tuned.rule].needs(tuned.options)
    if needs == MINUTES:
        context.minutes = PredictedMinutes(context.scorer, Trees.load(folder / TREES))
    elif isinstance(tuned.options, BanditRuleOptions):
        learned = LinearBandit.load(folder / BANDIT, setting.world, context.scorer)
        context.bandits[needs, tuned.options.alpha] = learned
    elif needs:
        context.encoders[needs] = load_encoder(folder / ENCODER, setting.items)
    return tuned, tuned.agent(context)


def read(folder: Path, setting: Setting) -> Tuned:
    """What a folder says of its rule; refuses as `load` does, but loads nothing else."""
    file = folder / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, here it is {_FORMAT}")
        name = one_of("rule", content["rule"], RULES)
        options = RULES[name].options(**content["options"])
        theirs, search, trials = content["setting"], dict(content["search"]), pd.DataFrame(content["trials"])
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error}); name a folder that holds a saved rule") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} describes no rule of this version: {error}; tune it again") from error
    ours = identity(setting)
    differ = [key for key, value in ours.items() if theirs.get(key) != value]
    if differ:
        raise ValueError(f"{folder} was tuned on another {', '.join(differ)}; tune the rule again, in another folder")
    return Tuned(name, options, trials, search)


def as_fitted_now(folder: Path, tuned: Tuned) -> bool:
    """Whether the encoder kept with a rule, if any, has the settings that `FITTED` gives now."""
    chosen = FITTED.get(RULES[tuned.rule].fitted, {})
    return not chosen or chosen.items() <= read_header(folder / ENCODER)["settings"].items()


def tuned_rule(
    name: str, context: Context, evaluator: Evaluator, trials: int = TRIALS, folder: Path | None = None, seed: int = 0
) -> tuple[Tuned, Agent]:
    """A rule tuned with this budget, from the folder's own ``name`` where it is kept there already."""
    place = None if folder is None else folder / name
    if place is not None and (place / FILE).is_file():
        tuned = read(place, context.setting)
        if tuned.search == searched(context, evaluator, trials, seed) and as_fitted_now(place, tuned):
            return load(place, context.setting, context.scorer)
    tuned = tune(name, context, evaluator, trials, seed)
    agent = tuned.agent(context)
    if place is not None:
        save(tuned, place, context)
    return tuned, agent
