"""Text models in several languages: how many of the nearest items share a topic, for each catalogue and model.

    python -m longplay.tests.envs.catalogs.parallel runs/films        # the same 2,000 films in English and in Chinese
    python -m longplay.scripts.studies.languages --catalogs runs/films/english.csv runs/films/chinese.csv

A model is an alias (minilm, multilingual), a folder or a hub name; "scratch" is trained from nothing on each catalogue,
as scripts/pretrain.py --from-scratch does. Where the catalogues hold the same items, the nearest to each
item of one are sought in the next, too. Prints a table; writes nothing but models from nothing, below runs/NAME.
"""

import itertools
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longplay.encoders.networks.pretrain import ScratchOptions, measure_neighbour_agreement, pretrain_from_scratch
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.catalogs.catalog import Catalog
from longplay.scripts.shared.console import console, run_command, set_threads
from longplay.scripts.shared.folders import record_study, run_folder
from longplay.scripts.shared.tables import FRAMED, make_table

NEAREST = 10


@dataclass
class Arguments:
    """Compare text models over languages."""

    catalogs: tuple[Path, ...]
    """Tables of items with topics; several may hold the same items in several languages."""
    models: tuple[str, ...] = ("minilm", "scratch", "multilingual")
    """Models that are compared."""
    name: str = "languages"
    """Folder below runs/ of the models from nothing."""
    scratch: ScratchOptions = field(
        default_factory=lambda: ScratchOptions(epochs=6, layers=2, batch_size=16, learning_rate=2e-3)
    )
    """Settings of a model from nothing."""


def main(args: Arguments) -> None:
    """Encode, compare, print."""
    set_threads(1)
    catalogs = [Catalog.from_table(path) for path in args.catalogs]
    for catalog in catalogs:
        if not any(catalog.topics):
            raise ValueError(f"catalogs: {catalog.source} has no topics, which neighbours are judged by; add a column")
    for model in args.models:
        if model != "scratch":
            TextEncoder(model)  # refuses what there is not before anything slow happens
    pairs = [(a, b) for a, b in itertools.pairwise(catalogs) if a.ids == b.ids]
    heads = [*(catalog.name for catalog in catalogs), *(f"{a.name} → {b.name}" for a, b in pairs)]
    table = make_table(
        f"Share of the {NEAREST} nearest with a topic in common",
        ("model", *heads, "unknown", "encoding [CPU s]"),
        "lr",
        **FRAMED,
    )
    for model in args.models:
        seconds, vectors, unknown = 0.0, {}, []
        for catalog in catalogs:
            encoder = TextEncoder(train_model(args, catalog) if model == "scratch" else model, cache=None)
            started = time.process_time()
            vectors[catalog.digest] = encoder.encode(catalog.texts)
            seconds += time.process_time() - started
            unknown.append(encoder.report["unknown"] / max(encoder.report["tokens"], 1))
        shares = [measure_neighbour_agreement(vectors[one.digest], one.topics, NEAREST) for one in catalogs]
        across = [
            f"{measure_across(vectors[a.digest], vectors[b.digest], a):.0%}" if model != "scratch" else ""
            for a, b in pairs
        ]
        words = " / ".join(f"{share:.0%}" for share in unknown) if model != "multilingual" else "not told"
        table.add_row(model, *(f"{share:.0%}" for share in shares), *across, words, f"{seconds:.0f}")
    console.print(table)


def train_model(args: Arguments, catalog: Catalog) -> Path:
    """Folder of a model trained from nothing on a catalogue; one that is there already is taken."""
    folder = run_folder(args.name) / catalog.name
    record_study(folder, {"texts": catalog.digest, "settings": asdict(args.scratch)})
    if not (folder / "model").exists():
        learnt = pretrain_from_scratch(catalog.texts, folder, args.scratch)
        console.print(f"{folder}: loss of texts held out {learnt.loss_before:.2f} → {learnt.loss_after:.2f}")
    return folder / "model"


def measure_across(asked: NDArray[np.float32], found: NDArray[np.float32], catalog: Catalog) -> float:
    """Share of the nearest of one language to each of another, its translation left out, with a topic in common."""
    cosine = asked @ found.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :NEAREST]
    topics = [set(labels) for labels in catalog.topics]
    # The same item has other words for its topics in the other language, and the same place.
    return float(np.mean([bool(topics[row] & topics[other]) for row, others in enumerate(nearest) for other in others]))


if __name__ == "__main__":
    run_command(main, Arguments)
