"""Measure the text encoder beside sentence-transformers, its cache, and what states cost in training.

    make bench           (or: python -m longplay.scripts.bench.encoders)
    python -m longplay.scripts.bench.encoders --catalog runs/log/items.parquet --states pooled runs/my-gru

The texts of the catalogue are encoded by the default BERT. Rounds alternate between all that is measured, and the least
disturbed of each counts, because other work on the machine only ever slows a round down; by processor time and by the
clock. sentence-transformers runs with its own default, batches of 32 in float32, and with other settings.
"""

import importlib.metadata
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from sentence_transformers import SentenceTransformer
from stable_baselines3 import PPO
from transformers.utils import logging

from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, read_run
from longplay.agents.setting import Setting
from longplay.encoders.state import StateEncoder
from longplay.encoders.text.cache import VectorCache, Vectors, hash_text
from longplay.encoders.text.encoder import TextEncoder
from longplay.encoders.text.model_folder import ModelFolder
from longplay.envs.shared.files import write_whole
from longplay.scripts.bench.tables import print_table
from longplay.scripts.shared.console import console, load_world, run_command, set_threads

PEER = "sentence-transformers"
Encode = Callable[[Sequence[str]], Vectors]


@dataclass
class Arguments:
    """Measure encoders."""

    setting: tyro.conf.OmitArgPrefixes[Setting] = field(default_factory=Setting)
    texts: int | Literal["all"] = 1000
    """Texts to encode, drawn from the catalogue's; or all."""
    rounds: int = 3
    """Rounds of each; the best counts."""
    threads: int = 1
    """Threads of torch."""
    states: tuple[str, ...] = ("pooled",)
    """States whose share of training is measured: pooled, the folder of a fitted encoder, or text, which takes long."""
    users: int = 1024
    """Users at a time in training."""
    json: Path | None = None
    """File for all figures."""


class TimedEncoder:
    """A state encoder with a clock.

    Parameters
    ----------
    encoder
        Anything that makes states (B, width) of observations.
    """

    def __init__(self, encoder: StateEncoder) -> None:
        self.encoder, self.seconds = encoder, 0.0
        self.space = gym.spaces.Box(-np.inf, np.inf, (encoder.width,), np.float32)

    def __call__(self, observation: Mapping[str, Any]) -> Vectors:
        """Encode, and count the processor time."""
        start = time.process_time()
        states = self.encoder(observation)
        self.seconds += time.process_time() - start
        return states


def make_text_encoders(model: str | None) -> dict[str, Encode]:
    """What encodes texts, by name; the first is what the others are compared with."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = str(ModelFolder.find(model).path)
    single = SentenceTransformer(folder, device="cpu")
    half = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})

    def theirs(peer: SentenceTransformer, batch: int) -> Encode:
        def encode(texts: Sequence[str]) -> Vectors:
            return np.asarray(peer.encode(list(texts), batch_size=batch, show_progress_bar=False), np.float32)

        return encode

    work = {f"theirs, float32, {batch}": theirs(single, batch) for batch in (32, 64, 128)}
    work |= {f"theirs, bfloat16, {batch}": theirs(half, batch) for batch in (32, 128)}
    ours = {f"ours, {dtype}": TextEncoder(model, dtype=dtype, cache=None) for dtype in ("float32", "bfloat16")}
    return work | {name: encoder.encode_uncached for name, encoder in ours.items()}


def find_least_cosine(vectors: Vectors, reference: Vectors) -> float:
    """The smallest cosine between rows (n, E) of two tables."""
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
    return float(((vectors * reference).sum(axis=1) / lengths).min())


def measure_encoding(work: Mapping[str, Encode], texts: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Texts a second of each encoder, how many times as fast as the first it is, and its least cosine to the first."""
    processor: dict[str, list[float]] = {name: [] for name in work}
    wall: dict[str, list[float]] = {name: [] for name in work}
    vectors: dict[str, Vectors] = {}
    for encode in work.values():
        encode(texts[:64])  # what the first call sets up is not counted
    for _ in range(rounds):
        for name, encode in work.items():
            start, clock = time.process_time(), time.perf_counter()
            vectors[name] = encode(texts)
            processor[name].append(time.process_time() - start)
            wall[name].append(time.perf_counter() - clock)
    first = next(iter(work))
    return [
        {
            "encoder": name,
            "texts": len(texts),
            "per_second": len(texts) / min(processor[name]),
            "per_second_wall": len(texts) / min(wall[name]),
            "ratio": min(processor[first]) / min(processor[name]),
            "ratio_wall": min(wall[first]) / min(wall[name]),
            "cosine": find_least_cosine(vectors[name], vectors[first]),
        }
        for name in work
    ]


def measure_reload(texts: Sequence[str], model: str | None, rounds: int) -> tuple[float, float]:
    """Processor time and time by the clock [s] from a new encoder to vectors that are all in its cache; the best."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        encoder = TextEncoder(model, cache=folder)
        vectors = np.random.default_rng(0).standard_normal((len(texts), encoder.width), np.float32)
        keys = [hash_text(text) for text in texts]
        VectorCache(Path(folder), encoder.identity, encoder.width).add(dict(zip(keys, vectors, strict=True)))
        for _ in range(rounds):
            start, clock = time.process_time(), time.perf_counter()
            TextEncoder(model, cache=folder).encode(texts)
            seconds.append((time.process_time() - start, time.perf_counter() - clock))
    processor, wall = zip(*seconds, strict=True)
    return min(processor), min(wall)


def measure_state_share(encoder: StateEncoder, setting: Setting, users: int, rollouts: int = 2) -> dict[str, float]:
    """Processor time that states take in training.

    Parameters
    ----------
    encoder
        Makes the states.
    setting
        What is recommended to whom.
    users
        Users at a time.
    rollouts
        Rollouts, each with its update, that are measured after a first one.

    Returns
    -------
    dict
        ``state`` and ``step``: seconds of the encoder and of everything (environment, policy, update) for a step of all
        users; ``share`` of the first in the second.
    """
    config, timed = RunConfig(setting=setting, num_envs=users), TimedEncoder(encoder)
    entry: Any = config.entry
    env = entry.make_env(config, read_run(config), timed)
    model = PPO("MlpPolicy", env, device="cpu", **config.algorithm_arguments)
    steps = int(model.n_steps)
    model.learn(steps * users)
    timed.seconds, start = 0.0, time.process_time()
    model.learn(rollouts * steps * users, reset_num_timesteps=False)
    total = time.process_time() - start
    env.close()
    count = rollouts * steps
    return {"state": timed.seconds / count, "step": total / count, "share": timed.seconds / total}


def print_figures(figures: dict[str, Any], args: Arguments) -> None:
    """Print."""
    rows = [
        (
            row["encoder"],
            *(f"{row[name]:,.0f}" for name in ("per_second", "per_second_wall")),
            *(f"{row[name]:.2f}" for name in ("ratio", "ratio_wall")),
            f"{row['cosine']:.5f}",
        )
        for row in figures["encoding"]
    ]
    title = f"{figures['texts']:,} texts a second on {args.threads} thread(s), best of {args.rounds} alternating rounds"
    columns = "encoder|processor|wall|ratio|ratio, wall|least cosine"
    print_table(title, columns, rows, left=1)
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    console.print(f"theirs: {PEER} with its batch; ratios and cosines are to its default; {versions}", markup=False)
    processor, wall = figures["reload"]
    vectors = f"{figures['catalogue']:,} vectors from the cache, by a new encoder"
    console.print(f"{vectors}: {processor:.2f} s of processor time, {wall:.2f} s by the clock")
    shares = [
        (state, f"{1e3 * row['state']:.2f}", f"{1e3 * row['step']:.2f}", f"{row['share']:.1%}")
        for state, row in figures["states"].items()
    ]
    print_table(
        f"a step of PPO at {args.users:,} users, processor time", "state|its encoding [ms]|all [ms]|share", shares, 1
    )


def main(args: Arguments) -> None:
    """Measure and print."""
    for name in ("rounds", "threads", "users", "texts"):
        value = getattr(args, name)
        if value != "all" and value < 1:
            raise ValueError(f"{name} = {value} must be at least 1")
    texts, model = args.setting.world.catalog.texts, args.setting.bert
    load_world(args.setting)
    set_threads(args.threads)
    count = len(texts) if args.texts == "all" else min(args.texts, len(texts))
    drawn = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:count]]
    versions = {name: importlib.metadata.version(name) for name in (PEER, "transformers", "torch")}
    figures: dict[str, Any] = {"texts": count, "catalogue": len(texts), "threads": args.threads, "versions": versions}
    states = {state: Reading(args.setting, state).state_encoder for state in args.states}
    with console.status("encoding"):
        figures["encoding"] = measure_encoding(make_text_encoders(model), drawn, args.rounds)
        figures["reload"] = measure_reload(texts, model, args.rounds)
    with console.status("training"):
        figures["states"] = {
            name: measure_state_share(encoder, args.setting, args.users) for name, encoder in states.items()
        }
    print_figures(figures, args)
    if args.json is not None:
        write_whole(args.json, json.dumps(figures, indent=1))


if __name__ == "__main__":
    run_command(main, Arguments)
