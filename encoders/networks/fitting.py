"""Training of networks by transformers' own trainer: a seed of its own, early stopping, resumption."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from ...envs.shared.files import write_whole
from ...envs.shared.options import Options, number
from ...envs.shared.progress import ProgressCallback, ignore_progress
from ..base import EncoderError
from ..device import find_device, make_tensors_on

Score = Callable[[], float]

_NOTE, _FINAL = "training.json", "final.safetensors"


@dataclass(frozen=True)
class Schedule(Options):
    """How long and how fast a network learns."""

    epochs: int = number(20, 1, 100_000)
    """Passes over the training rows at most."""
    batch_size: int = number(128, 1, 10**6)
    """Rows of a step."""
    learning_rate: float = number(1e-3, 1e-8, 10.0)
    """Learning rate at its highest; it falls linearly to zero."""
    weight_decay: float = number(0.0, 0.0, 10.0)
    """Weight decay of AdamW."""
    warmup: float = number(0.05, 0.0, 0.99)
    """Share of the steps in which the learning rate rises."""
    patience: int = number(3, 1, 100_000)
    """Epochs without a better validation score after which it stops."""

    @classmethod
    def from_options(cls, options: Options) -> Self:
        """What an encoder's options say of it: their fields of the same names."""
        names = [field.name for field in dataclasses.fields(cls) if hasattr(options, field.name)]
        return cls(**{name: getattr(options, name) for name in names})


def train_network(
    network: torch.nn.Module,
    rows: Dataset[Any],
    schedule: Schedule,
    *,
    seed: int,
    score: Score | None = None,
    collate: Callable[[list[Any]], Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    about: Mapping[str, Any] | None = None,
    report: ProgressCallback = ignore_progress,
    device: str | None = None,
) -> list[dict[str, float]]:
    """Train a network in place, and leave it with the weights of its best epoch.

    Parameters
    ----------
    network : torch.nn.Module
        ``network(**batch)`` returns ``{"loss": ...}``.
    rows : Dataset
        What `collate` makes batches of.
    schedule : Schedule
        How long and how fast it learns.
    seed : int
        Seed of the order of rows and of all that the network draws; the global generators are left as they were.
    score : callable, optional
        Score of the network as it is, on validation data, higher is better; asked for after every epoch.
        Without it all epochs are run and the last weights stay.
    folder : Path, optional
        Folder of checkpoints, one an epoch; an interrupted training of the same `about` goes on from them, and one
        that is finished is not done again.
    about : mapping, optional
        All that the result depends on, as JSON takes it; checkpoints of anything else are not used.
    report : callable
        Gets ``step`` and ``steps``, and once an epoch ``loss`` and ``score``.
    device : str, optional
        Where it learns; by default where `longplay.encoders.device.find_device` says. Scores are always taken on the
        CPU, where encoders compute.

    Returns
    -------
    list of dict
        One row an epoch: ``epoch``, ``loss``, ``score``.
    """
    device = find_device() if device is None else device
    with tempfile.TemporaryDirectory() as temporary, _keep_random_state(), silence_transformers():
        target = Path(temporary) if folder is None else folder
        curve = _open_folder(target, {"seed": seed, **(about or {})})
        if curve is None:
            trainer = _Trainer(
                network, score, rows, _make_arguments(target, schedule, seed, score, device), collate, report
            )
            if score is not None:
                trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=schedule.patience))
            trainer.train(resume_from_checkpoint=_find_last_checkpoint(target))
            curve = trainer.read_curve()
            network.to("cpu")
            _keep_result(target, network, curve)
        else:
            network.load_state_dict(load_file(target / _FINAL))
        network.eval()
        return curve


def _make_arguments(target: Path, schedule: Schedule, seed: int, score: Score | None, device: str) -> TrainingArguments:
    """What the trainer is told."""
    scored: dict[str, Any] = {}
    if score is not None:
        scored = {
            "eval_strategy": "epoch",
            "load_best_model_at_end": True,
            "metric_for_best_model": "score",
            "greater_is_better": True,
        }
    return TrainingArguments(
        output_dir=str(target),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.batch_size,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        warmup_steps=schedule.warmup,  # a share, being below 1
        save_strategy="epoch",
        save_total_limit=2,
        restore_callback_states_from_checkpoint=True,  # else an interrupted training would wait anew for a better score
        logging_strategy="epoch",
        seed=seed,
        use_cpu=device == "cpu",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **scored,
    )


class _Trainer(Trainer):
    """transformers' trainer, whose evaluation is one number and whose progress goes to the caller."""

    def __init__(
        self,
        network: torch.nn.Module,
        score: Score | None,
        rows: Dataset[Any],
        arguments: TrainingArguments,
        collate: Any,
        report: ProgressCallback,
    ) -> None:
        super().__init__(
            network, arguments, data_collator=collate, train_dataset=rows, eval_dataset=rows if score else None
        )
        self._network, self._score = network, score
        self.pop_callback(PrinterCallback)
        self.add_callback(_Reporter(report))

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss, its new tensors made where the network is."""
        with make_tensors_on(self.args.device.type):
            return super().compute_loss(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Ask for the score."""
        assert self._score is not None
        self._network.eval().to("cpu")
        with torch.inference_mode():
            metrics = {"eval_score": float(self._score())}
        self._network.train().to(self.args.device)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def read_curve(self) -> list[dict[str, float]]:
        """Loss and score by epoch, of all parts of a resumed training."""
        epochs: dict[int, dict[str, float]] = {}
        for row in self.state.log_history:
            at = epochs.setdefault(round(row["epoch"]), {"epoch": float(round(row["epoch"]))})
            at |= {ours: float(row[theirs]) for theirs, ours in _LOGGED.items() if theirs in row}
        return [epochs[epoch] for epoch in sorted(epochs)]


_LOGGED = {"loss": "loss", "eval_score": "score"}


class _Reporter(TrainerCallback):
    """Passes steps, losses and scores on."""

    def __init__(self, report: ProgressCallback) -> None:
        self._report = report

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each step."""
        self._report({"step": float(state.global_step), "steps": float(state.max_steps)})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Once an epoch."""
        row = {ours: float(logs[theirs]) for theirs, ours in _LOGGED.items() if theirs in (logs or {})}
        if row:
            self._report({"step": float(state.global_step), "steps": float(state.max_steps), **row})


def _open_folder(folder: Path, about: Mapping[str, Any]) -> list[dict[str, float]] | None:
    """Note what is trained here, and clear away what is left of anything else; the curve if it is finished already."""
    file = folder / _NOTE
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    if file.exists():
        note = json.loads(file.read_text(encoding="utf-8"))
        if note.get("digest") == digest:
            curve: list[dict[str, float]] | None = note.get("curve")
            return curve
    for old in folder.glob("checkpoint-*"):
        shutil.rmtree(old)
    try:
        write_whole(file, json.dumps({"digest": digest, "about": about}, indent=1))
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written ({error}). Fix: give a folder that can") from error
    return None


def _find_last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint; one that was being written when the program was killed is removed."""
    for place in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True):
        try:
            json.loads((place / "trainer_state.json").read_text(encoding="utf-8"))  # the last file that is written
            return str(place)
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(place)
    return None


def _keep_result(folder: Path, network: torch.nn.Module, curve: list[dict[str, float]]) -> None:
    """Keep the weights and the curve, in place of the checkpoints."""
    weights = {name: weight.detach().clone().contiguous() for name, weight in network.state_dict().items()}
    write_whole(folder / _FINAL, save(weights))
    note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
    write_whole(folder / _NOTE, json.dumps({**note, "curve": curve}, indent=1))
    for old in folder.glob("checkpoint-*"):
        shutil.rmtree(old)


@contextmanager
def _keep_random_state() -> Iterator[None]:
    """Put the generators that the trainer seeds back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # what the trainer seeds
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Let the trainer speak of errors only, and show no bars of its own."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
