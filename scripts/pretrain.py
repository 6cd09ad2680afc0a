"""Pre-train BERT on the texts of a catalogue: on from a checkpoint, or a small one from nothing.

    python scripts/pretrain.py --name films-bert                                # minilm, on from where it is
    python scripts/pretrain.py --name shop-bert --catalog shop.csv --scratch.epochs 20 --from-scratch
    python scripts/train.py --name my-ppo --bert runs/films-bert/model          # what it is for

Writes runs/NAME: model (config, tokenizer, safetensors; what --bert takes) and pretraining.json (loss and perplexity of
masked words on texts held out, before and after). The same command goes on after an interruption.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tyro

from longplay.agents.setting import Setting
from longplay.encoders.device import find_device
from longplay.encoders.networks.pretrain import (
    PretrainingResult,
    PretrainOptions,
    ScratchOptions,
    continue_pretraining,
    measure_neighbour_agreement,
    pretrain_from_scratch,
)
from longplay.encoders.text.encoder import TextEncoder
from longplay.encoders.text.model_folder import ModelFolder
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.console import console, make_progress, run_command, set_threads
from longplay.scripts.shared.folders import record_study, run_folder

RESULT = "pretraining.json"
NEAREST = 10  # items whose topics are compared
COMPARED = 1000  # items that are compared at most


@dataclass
class Arguments:
    """Pre-train BERT."""

    name: str
    """Folder below runs/ that the model is written to."""
    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    """Setting whose catalogue's texts are read, and, as --bert, the model to go on from."""
    texts: Path | None = None
    """A text file, one text a line, in place of a catalogue."""
    from_scratch: bool = False
    """Train a small BERT and its word pieces from nothing."""
    further: PretrainOptions = field(default_factory=PretrainOptions)
    """Settings of training on from a checkpoint."""
    scratch: ScratchOptions = field(default_factory=ScratchOptions)
    """Settings of training from nothing."""
    seed: int = 0
    """Seed of the texts held out, of the masks and of what is drawn anew."""
    threads: int = 1
    """Threads of torch; more than one pays where nothing else runs."""


def main(args: Arguments) -> None:
    """Train, or say what was found."""
    folder = run_folder(args.name)
    check_arguments(args)
    texts = read_texts(args)  # before anything is noted, so that a name is not spent on a table that is not there
    study = {key: value for key, value in asdict(args).items() if key not in ("name", "threads")}
    record_study(folder, study | {"texts": args.texts and str(args.texts)})
    if (folder / RESULT).exists():
        console.print(f"{folder} is done; give another --name to train again")
        print_knowledge(PretrainingResult(**json.loads((folder / RESULT).read_text(encoding="utf-8"))), folder)
        return
    set_threads(args.threads)
    knowledge = train_model(args, folder, texts)
    write_whole(folder / RESULT, json.dumps(asdict(knowledge), indent=1))
    print_knowledge(knowledge, folder)
    if args.texts is None:
        compare_neighbours(args.setting, folder)


def train_model(args: Arguments, folder: Path, texts: list[str]) -> PretrainingResult:
    """Train with a progress bar."""
    base = args.setting.bert or "minilm"
    console.print(f"{folder}: {len(texts):,} texts, {'from nothing' if args.from_scratch else base}")
    with make_progress(count=True, remaining=True) as progress:
        task = progress.add_task("pre-training", total=None)

        def report(row: Mapping[str, float]) -> None:
            progress.update(task, completed=row["step"], total=row["steps"])
            if "loss" in row:
                progress.console.print(f"step {int(row['step']):>7,}  training loss {row['loss']:.3f}")

        if args.from_scratch:
            return pretrain_from_scratch(texts, folder, args.scratch, seed=args.seed, report=report)
        return continue_pretraining(base, texts, folder, args.further, seed=args.seed, report=report)


def check_arguments(args: Arguments) -> None:
    """Refuse what could not run, before anything slow happens."""
    if args.from_scratch and args.setting.bert:
        raise ValueError(f"bert = {args.setting.bert!r} and from_scratch exclude each other; leave one out")
    if args.threads < 1 or args.seed < 0:
        raise ValueError(f"threads = {args.threads} must be at least 1, seed = {args.seed} at least 0")
    if args.texts and args.setting.catalog:
        raise ValueError(f"texts = {str(args.texts)!r} and catalog = {args.setting.catalog!r} exclude each other")
    if args.texts and not args.texts.is_file():
        raise ValueError(f"texts = {str(args.texts)!r}: there is no such file; give one with a text a line")
    if not args.from_scratch:
        ModelFolder.find(args.setting.bert)


def read_texts(args: Arguments) -> list[str]:
    """The texts to learn from."""
    if args.texts is None:
        return list(args.setting.world.catalog.texts)
    try:
        return [line.strip() for line in args.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"texts = {str(args.texts)!r} is not UTF-8 ({error}); save it as UTF-8") from None


def print_knowledge(knowledge: PretrainingResult, folder: Path) -> None:
    """Say what was learnt."""
    perplexity = f"perplexity {knowledge.perplexity_before:,.1f} → {knowledge.perplexity_after:,.1f}"
    loss = f"(loss {knowledge.loss_before:.3f} → {knowledge.loss_after:.3f})"
    console.print(
        f"masked words of {knowledge.held_out:,} texts held out: {perplexity} {loss} after learning from "
        f"{knowledge.texts:,}",
        soft_wrap=True,
    )
    console.print(f"model: {folder / 'model'}", soft_wrap=True)


def compare_neighbours(setting: Setting, folder: Path) -> None:
    """Say whether vectors tell what is alike: how many of the nearest items share a topic, before and after.

    Before is the model that was trained on or, from nothing, the default model, which would be used otherwise.
    """
    catalog = setting.world.catalog
    compared = np.random.default_rng(0).permutation(len(catalog))[:COMPARED]
    texts, labels = [catalog.texts[i] for i in compared], [catalog.topics[i] for i in compared]
    if sum(map(bool, labels)) <= NEAREST:
        return
    vectors = (
        TextEncoder(model, cache=None, device=find_device()).encode(texts) for model in (setting.bert, folder / "model")
    )
    before, after = (measure_neighbour_agreement(table, labels, NEAREST) for table in vectors)
    console.print(
        f"of the {NEAREST} nearest of {len(compared):,} items, share with a topic in common: "
        f"{before:.1%} → {after:.1%} (before: {setting.bert or 'minilm'})",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main, Arguments)
