"""Whole transitions as a Minari dataset, the form that libraries of offline reinforcement learning read."""

import contextlib
import copy
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from numpy.typing import NDArray

from ...envs.make import read_scenario
from ...envs.shared.files import filling
from ...envs.specs import PortableSpec
from ..setting import Setting

DATASET = "longplay/slates-v0"  # Minari's id of the dataset, below its root
BEFORE = "slates-v0"  # its id in folders written before it had a namespace
FORMAT = "parquet"  # compressed, and needs no other library than the tables do


def write_minari(
    root: Path, parts: Iterable[Mapping[str, NDArray[Any]]], env: Any, setting: Setting, policy: str, luck: int
) -> None:
    """Write lives as a Minari dataset, whole or not at all; ``minari.load_dataset(DATASET)`` reads it.

    An episode is the life of one user: ``observations`` (a dictionary of float32, one more than slates), ``actions``
    (slates, int64), ``rewards`` [minutes], ``terminations`` (left for good), ``truncations`` (the horizon). Its
    metadata names luck and user, with which ``recover_environment`` plays it again: ``reset(seed=..., options=...)``.

    Parameters
    ----------
    root
        Becomes Minari's folder of datasets (``MINARI_DATASETS_PATH``).
    parts
        Of `collect.Recorder.episodes`.
    env
        The vector environment that was played: for the spaces.
    setting
        What was played, for ``recover_environment``; candidates, if there are any, need ``candidates=True`` and
        ``item_vectors`` there.
    policy
        Name of the logging policy.
    luck
        Seed of the users' luck.
    """
    temporary = root.with_name(root.name + ".tmp")
    shutil.rmtree(root, ignore_errors=True)
    spec = _specification(setting)
    holder = gym.Env[Any, Any]()  # from a bare specification, Minari would build the world again
    holder.spec = spec
    with filling(temporary):
        with _datasets_in(temporary), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`(code_permalink|author_email)` is set to None")
            dataset = minari.create_dataset_from_buffers(
                DATASET,
                buffer=[],
                env=holder,
                eval_env=spec,
                observation_space=env.single_observation_space,
                action_space=env.single_action_space,
                algorithm_name=policy,
                author="longplay",
                description=f"Lives of simulated users in {setting.env}, slates chosen by: {policy}",
                data_format=FORMAT,
            )
        storage = dataset.storage
        # After each episode Minari sums up the sizes of all files: thousands of episodes would take hours.
        storage.get_size = lambda: 0.0
        storage.update_episodes(_buffers(parts, luck))  # read one by one, so that memory holds a part at a time
        del storage.get_size
        storage.update_metadata({"dataset_size": storage.get_size()})
    temporary.replace(root)


def read_minari(root: Path) -> Any:
    """The dataset (`minari.MinariDataset`) that `write_minari` wrote.

    Raises
    ------
    ValueError
        If there is none.

    Notes
    -----
    ``recover_environment`` finds the table of items where it was; where that has gone, and one of the same name lies
    beside the folder, as ``scripts/collect.py`` writes it, that one is taken: a log may be moved whole.
    """
    name = next((name for name in (DATASET, BEFORE) if (root / name).is_dir()), None)
    if name is None:
        raise ValueError(f"{root} has no dataset {DATASET!r}; collect with --minari-users above 0")
    with _datasets_in(root):
        dataset = minari.load_dataset(name)
    for spec in (dataset.env_spec, dataset._eval_env_spec):  # which Minari shows by no name of its own
        _find_catalog(spec, root)
    return dataset


def _find_catalog(spec: EnvSpec | None, root: Path) -> None:
    """Let a specification name the table of items beside the data set, if it is not where it was."""
    catalog = None if spec is None else spec.kwargs.get("catalog")
    if spec is not None and catalog is not None and not Path(catalog).is_file():
        beside = root.resolve().parent / Path(catalog).name
        spec.kwargs["catalog"] = str(beside) if beside.is_file() else catalog


@contextlib.contextmanager
def _datasets_in(root: Path) -> Iterator[None]:
    """Minari knows its folder from the process's environment alone."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root.resolve())  # Minari mistakes a relative one
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def _specification(setting: Setting) -> EnvSpec:
    """How `gymnasium.make` makes the environment again, one user at a time."""
    options: dict[str, Any] = {
        "catalog": setting.catalog,
        "scenario": None
        if setting.scenario is None
        else read_scenario(setting.scenario),  # its constants, not its path
        "world_seed": setting.world_seed,
        **setting.columns,
    }
    options |= {"dynamics_strength": setting.strength, "reward": "minutes"}
    spec = copy.deepcopy(gym.spec(setting.env))  # which gives the registered one itself
    spec.kwargs = {**spec.kwargs, **options}
    return PortableSpec.of(spec)


def _buffers(parts: Iterable[Mapping[str, NDArray[Any]]], luck: int) -> Iterator[EpisodeBuffer]:
    count = 0
    for part in parts:
        first = 0
        for life, (user, steps) in enumerate(zip(part["user"].tolist(), part["steps"].tolist(), strict=True)):
            last = first + steps
            seen = slice(first + life, last + life + 1)  # each life before has one observation more than slates
            yield EpisodeBuffer(
                id=count,
                seed=luck,
                options={"user": user},
                observations={
                    key.removeprefix("observations/"): values[seen]
                    for key, values in part.items()
                    if key.startswith("observations/")
                },
                actions=part["actions"][first:last],
                rewards=part["rewards"][first:last],
                terminations=part["terminations"][first:last],
                truncations=part["truncations"][first:last],
            )
            first, count = last, count + 1
