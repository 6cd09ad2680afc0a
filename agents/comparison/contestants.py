"""A comparison: rules tuned on validation users, trained policies, references, all on the same test users and luck."""

import itertools
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from ..base import Agent
from ..playing.evaluate import Evaluator, held_out_users
from ..playing.luck import TEST_LUCK, VALIDATION_LUCK
from ..references.linear import LinearOracle
from ..registry import REFERENCES, RULES
from ..rules.context import LOGGED_STEPS, RuleModels
from ..rules.kept import find_kept_rules
from ..rules.tuning import FILE, TRIALS, check_rules, list_quick_rules, tune_or_load
from ..runs.config import RunConfig
from ..runs.progress import count_slates
from ..runs.reading import load_agent
from ..setting import Setting

SIMILARITY, ORACLE, MYOPIC = "greedy similarity", "taste oracle", "myopic oracle"


@dataclass(frozen=True)
class Contestant:
    """A policy in the comparison: its agents, one for each training seed."""

    name: str
    kind: str  # "rule", "learned" or "reference"
    agents: Sequence[Agent]
    note: str = ""
    twin: str = ""  # name of the same method with γ = 0, if that takes part; the linear oracle's is the myopic one
    seeds: Sequence[int] = ()  # of the trainings, in the order of the agents; by default 0, 1, …
    about: Mapping[str, Any] = field(default_factory=dict)  # what made it, as plain data


def tune_rules(
    setting: Setting,
    users: int,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
    trials: int = TRIALS,
    folder: Path | None = None,
    kept: Callable[[str], object] | None = None,
    workers: int = 1,
) -> list[Contestant]:
    """The rules, each with options chosen on `users` validation users by the same budget.

    Parameters
    ----------
    setting
        What is recommended to whom.
    users
        Validation users that the options are chosen on.
    progress
        Callable that gets what is being done.
    names
        Names of rules in `RULES`; by default those that are tuned in seconds, and that the world offers.
    trials
        Options tried of each rule that has any.
    folder
        Folder that keeps the tuned rules; what is there already is not tuned again.
    kept
        Told where tuned rules are kept; with it, and without a folder, that is in the cache, see
        `longplay.agents.rules.kept.find_kept_rules`.
    workers
        Threads that share the validation users, as of `Evaluator`.
    """
    names = list_quick_rules(setting.world) if names is None else names
    check_rules(names, setting.world)
    models = RuleModels(setting, progress, LOGGED_STEPS)
    people = held_out_users(setting.world, "validation", users)
    evaluator = Evaluator(setting.world, setting.item_vectors, people, VALIDATION_LUCK, workers=workers)
    lock: AbstractContextManager[object] = nullcontext()
    in_cache = folder is None and kept is not None
    if in_cache:
        folder = find_kept_rules(models, evaluator, trials, names)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))  # who wants the same waits, and then takes it
    with lock:
        used = [] if folder is None else [name for name in names if (folder / name / FILE).is_file()]
        if kept is not None and folder is not None:
            again = f"{len(used)} were tuned before and are used again" if used else "the next comparison takes them"
            kept(f"{len(names)} rules are kept in {folder}; {again}")
        return [_tune_or_load(name, models, evaluator, trials, folder, in_cache) for name in names]


def _tune_or_load(
    name: str, models: RuleModels, evaluator: Evaluator, trials: int, folder: Path | None, mend: bool
) -> Contestant:
    """A rule; one that is kept in the cache and cannot be read is tuned again."""
    try:
        tuned, agent = tune_or_load(name, models, evaluator, trials, folder)
    except ValueError:
        if not mend or folder is None or not (folder / name).is_dir():
            raise
        shutil.rmtree(folder / name)
        tuned, agent = tune_or_load(name, models, evaluator, trials, folder)
    return Contestant(RULES[name].title, "rule", [agent], tuned.note, about=tuned.describe())


def group_runs(setting: Setting, folders: Sequence[Path]) -> dict[str, list[tuple[RunConfig, Path]]]:
    """Training runs by method; an error for runs that cannot be compared. Quick: nothing is loaded."""
    groups: dict[str, list[tuple[RunConfig, Path]]] = {}
    for folder in folders:
        config = RunConfig.from_json(folder / "config.json")
        if config.setting != setting:
            raise ValueError(
                f"{folder} was trained on {config.setting}, the comparison is on {setting}; compare like with like"
            )
        members = groups.setdefault(config.label, [])
        for other, where in members:
            _check_seeds(config, folder, other, where)
        members.append((config, folder))
    return groups


def load_learned(setting: Setting, folders: Sequence[Path]) -> list[Contestant]:
    """Trained policies of the folders, grouped by method; every run must share the comparison's setting."""
    groups = group_runs(setting, folders)
    contestants = []
    for label, members in groups.items():
        members = sorted(members, key=lambda member: member[0].seed)
        first, seeds = members[0][0], [config.seed for config, _ in members]
        twins = (name for name, others in groups.items() if name != label and others[0][0].is_twin_of(first))
        agents = [load_agent(folder, config, setting) for config, folder in members]
        spent = [count_slates(folder) for _, folder in members]
        note = f"{describe_seeds(len(agents))}, {describe_slates(spent, first.steps)}"
        about = describe_trainings([config for config, _ in members], [folder for _, folder in members], spent)
        contestants.append(Contestant(label, "learned", agents, note, next(twins, ""), seeds, about))
    return contestants


def describe_trainings(configs: Sequence[RunConfig], folders: Sequence[Path], spent: Sequence[int]) -> dict[str, Any]:
    """What made a trained method, as plain data: its settings but the seed, and of each seed the run and its slates."""
    settings = asdict(configs[0])
    del settings["setting"], settings["seed"], settings["steps"]
    seeds = [config.seed for config in configs]
    runs = [folder.as_posix() for folder in folders]
    steps = {"slates_asked_for": configs[0].steps, "slates_spent": list(spent)}
    return {"runs": runs, "seeds": seeds, **steps, "settings": settings}


def describe_slates(spent: Sequence[int], wished: int) -> str:
    """Slates of the trainings of a method, in words, and how many were asked for where it is another number."""
    low, high = min(spent), max(spent)
    words = f"{high:,} slates" if low == high else f"{low:,} to {high:,} slates"
    return words if low == high == wished else f"{words} ({wished:,} asked for)"


def describe_seeds(seeds: int) -> str:
    """How many seeds, in words."""
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _check_seeds(config: RunConfig, folder: Path, other: RunConfig, where: Path) -> None:
    """Refuse two runs as one method unless they differ in the seed, and in the seed alone."""
    differ = [f.name for f in fields(config) if getattr(config, f.name) != getattr(other, f.name)]
    if differ == ["seed"]:
        return
    if not differ:
        raise ValueError(f"{where} and {folder} are both seed {config.seed} of {config.label!r}; give each seed once")
    raise ValueError(
        f"{where} and {folder} are both {config.label!r} and differ in {', '.join(differ)}; within a method only the "
        "seed may differ: compare them in two comparisons"
    )


def make_references(setting: Setting, linear: LinearOracle | None = None) -> list[Contestant]:
    """What hidden state would make possible; in `Control` the taste oracle is exactly optimal.

    Parameters
    ----------
    setting
        What is recommended to whom.
    linear
        The best linear oracle, from `LinearOracle.fit` or `LinearOracle.load`; takes part if given.
    """
    contestants = []
    for name in ("items", "myopic", "taste"):
        reference = REFERENCES[name]
        agent = reference.build(setting.world)
        contestants.append(Contestant(reference.title, "reference", [agent], reference.note))
    if linear is not None:  # with weights of 0 it is the myopic oracle
        about = {"weights": linear.weights.tolist()}
        note = REFERENCES["linear"].note
        contestants.append(Contestant(linear.name, "reference", [linear], note, MYOPIC, about=about))
    return contestants


def play_contestants(
    setting: Setting,
    contestants: Sequence[Contestant],
    users: int,
    progress: Callable[[str, float], None],
    sealed: bool = False,
    workers: int = 1,
) -> pd.DataFrame:
    """Every policy on the same test users, open or sealed, with the same luck: one row a policy, seed and user.

    With `workers` threads some contestants play side by side; the agents of each of them one after the other.
    """
    people = held_out_users(setting.world, "test", users, sealed=sealed)
    count = max(min(workers, len(contestants)), 1)
    evaluators = [Evaluator(setting.world, setting.item_vectors, people, TEST_LUCK, sealed) for _ in range(count)]
    idle = deque(evaluators)

    def play(contestant: Contestant) -> list[pd.DataFrame]:
        evaluator = idle.popleft()
        try:
            return _play_contestant(contestant, evaluator, lambda share: progress(contestant.name, share))
        finally:
            idle.append(evaluator)

    if len(evaluators) == 1:
        tables = [play(contestant) for contestant in contestants]
    else:
        with ThreadPoolExecutor(len(evaluators)) as pool:
            try:
                playing = [pool.submit(play, contestant) for contestant in contestants]
                tables = [future.result() for future in playing]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for evaluator in evaluators:
                    evaluator.stop()
                raise
    return pd.concat([table for some in tables for table in some], ignore_index=True)


def _play_contestant(
    contestant: Contestant, evaluator: Evaluator, progress: Callable[[float], None]
) -> list[pd.DataFrame]:
    """A table for each seed of a policy."""
    tables = []
    for seed, agent in zip(contestant.seeds or itertools.count(), contestant.agents, strict=False):
        table = evaluator.play(agent, progress)
        coverage = table.attrs["coverage"]
        table.attrs = {}  # pandas compares attrs when it concatenates
        table.insert(0, "policy", contestant.name)
        table.insert(1, "kind", contestant.kind)
        table.insert(2, "seed", seed)
        tables.append(table.assign(coverage=coverage))
    return tables
