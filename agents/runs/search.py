"""A search for an agent's settings: trainings as trials of an Optuna study that can be interrupted and gone on with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as TrialState

from ...envs.shared.progress import ProgressCallback
from ..options import Space
from .config import RunConfig
from .presets import Preset
from .progress import CHECKPOINT
from .spaces import apply_proposal, locate
from .training import train

JOURNAL = "journal.log"
STARTUP = 5  # trials that none is pruned before, and that are drawn at random


class SettingsSearch:
    """The study of a folder: what to try next, and what came of it.

    Parameters
    ----------
    folder
        Gets the journal, and a folder for each trial.
    config
        The run that proposals change.
    space
        Where they are from.
    seed
        Of the proposals: one trial at a time, the same seed gives the same search, interrupted or not.
    """

    def __init__(self, folder: Path, config: RunConfig, space: Space, seed: int) -> None:
        self.folder, self.config, self.space, self.seed = folder, config, space, seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study: Study = optuna.create_study(
            storage=open_storage(folder), study_name=folder.name, direction="maximize", load_if_exists=True
        )
        self.interrupted = [trial.number for trial in self.trials(TrialState.RUNNING)]
        if not self.study.trials:
            self.study.enqueue_trial(locate(config, space))  # the defaults are the first to beat

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in some states, by number; all that have begun, if none is given."""
        begun = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        return self.study.get_trials(deepcopy=False, states=states or begun)

    def next(self, most: int) -> int | None:
        """Number of a trial to train: one that was interrupted, a new one, or None if there are `most`."""
        if self.interrupted:
            return self.interrupted.pop(0)
        begun = len(self.trials())
        if begun >= most:
            return None
        # Seeded anew for each trial, so that it does not matter where the search was interrupted.
        self.study.sampler = TPESampler(n_startup_trials=STARTUP, seed=self.seed * 100_003 + begun)
        return self.study.ask(self.space).number

    def propose(self, number: int) -> RunConfig:
        """The run of a trial."""
        return apply_proposal(self.config, self.study.trials[number].params)

    def tell(self, number: int, minutes: float | None) -> None:
        """Note the best validation minutes of a trial, or None if it was pruned."""
        state = TrialState.PRUNED if minutes is None else TrialState.COMPLETE
        self.study.tell(number, minutes, state=state)
        (locate_trial(self.folder, number) / CHECKPOINT).unlink(missing_ok=True)  # which may be large

    def fail(self, number: int) -> None:
        """Note that settings could not be trained with."""
        self.study.tell(number, state=TrialState.FAIL)

    def best(self) -> FrozenTrial:
        """Of most minutes, the earliest of equals.

        Raises
        ------
        ValueError
            If no trial has been completed.
        """
        completed = self.trials(TrialState.COMPLETE)
        if not completed:
            raise ValueError(f"no trial in {self.folder} was completed; see the errors above, or give more --trials")
        return max(completed, key=lambda trial: trial.value or 0.0)

    def find_changes(self, number: int) -> dict[str, Any]:
        """Settings of a trial that differ from those it set out from, as a table of a `Preset`."""
        run, table = self.propose(number), {}
        for name in ("gamma", "learning_rate", "num_envs"):
            if getattr(run, name) != getattr(RunConfig, name):
                table[name] = getattr(run, name)
        return table | ({"options": dict(run.options)} if run.options else {})

    def make_preset(self, scenario: str, command: str) -> Preset:
        """The best trial's settings, for a scenario."""
        table = {scenario: self.find_changes(self.best().number)}
        return Preset(self.config.agent, self.config.action, table, command)


def open_storage(folder: Path) -> JournalStorage:
    """The journal of a search, which several processes write to."""
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def locate_trial(folder: Path, number: int) -> Path:
    """Of a trial's training."""
    return folder / f"trial-{number:04d}"


def run_trial(folder: Path, number: int, config: RunConfig, prune: bool, tell: ProgressCallback) -> float | None:
    """Train as a trial proposes, or go on with it, and report every evaluation to the study.

    Parameters
    ----------
    folder
        Of the search.
    config
        As the trial proposes.
    prune
        Give up if, at an evaluation after the first quarter, the best so far is below the median of the others there.
    tell
        Called as `train` calls its ``report``; what it raises interrupts.

    Returns
    -------
    float or None
        Most minutes of validation users at any evaluation, as the policy that is kept has; None if pruned.
    """
    pruner: BasePruner = MedianPruner(STARTUP, n_warmup_steps=config.evals // 4) if prune else NopPruner()
    study = optuna.load_study(
        study_name=folder.name, storage=open_storage(folder), sampler=RandomSampler(0), pruner=pruner
    )
    trial = Trial(study, study.trials[number]._trial_id)
    reported = set(study.trials[number].intermediate_values)
    run_folder = locate_trial(folder, number)

    def report(row: Mapping[str, float]) -> None:
        tell(row)
        if "minutes" not in row:
            return
        index = int(config.evals * row["step"] / config.steps)  # the same for all, whatever the length of their rounds
        if index not in reported:
            reported.add(index)
            trial.report(row["minutes"], index)
        if index < config.evals and trial.should_prune():
            raise optuna.TrialPruned

    try:
        curve = train(config, run_folder, resume=_has_checkpoint(run_folder, config), report=report)
    except optuna.TrialPruned:
        return None
    return float(curve["minutes"].max())


def _has_checkpoint(folder: Path, config: RunConfig) -> bool:
    """Whether there is a checkpoint of this very run."""
    file = folder / "config.json"
    return file.is_file() and (folder / CHECKPOINT).is_file() and RunConfig.from_json(file) == config
