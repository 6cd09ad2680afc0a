"""Long commands, interrupted by both signals at seeded slates: exit codes, no child, whole files, the same results."""

import multiprocessing
import random
import signal
import zlib

import pytest
import torch

from longplay.agents.comparison import contestants as comparison
from longplay.envs.env import SlateVectorEnv
from longplay.scripts import collect, compare, pretrain, train
from longplay.tests.scripts.test_command_lines import SMALL

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WORDS = {
    train: f"{SMALL} --agent pl-ppo --steps 256 --num-envs 8 --eval-users 5 --evals 2 --track off",
    collect: f"{SMALL} --users 40 --minari-users 4",
    compare: f"{SMALL} --users 8 --validation-users 4 --rules similarity mmr --rule-trials 2 --track off",
    pretrain: f"{SMALL} --from-scratch --scratch.epochs 2 --scratch.layers 1 --scratch.width 16 "
    "--scratch.heads 2 --scratch.tokens 32 --scratch.batch-size 16",
}
STEPS = {pretrain: (torch.optim.AdamW, "step")}  # what is counted, where it is not slates
RESULTS = ("*.parquet", "curve.csv", "policy.safetensors", "model.safetensors")


def read_results(folder):
    """Contents of the files that a command is called for."""
    files = sorted(file for pattern in RESULTS for file in folder.rglob(pattern) if "training" not in file.parts)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture
def interrupt():
    """Have a signal come at the n-th step of what is counted; tells of how many steps there were without one."""

    def arm(script, number=None, count=0):
        owner, name = STEPS.get(script, (SlateVectorEnv, "step"))
        seen = []
        whole = getattr(owner, name)

        def step(self, *given, **named):
            seen.append(None)
            if number is not None and len(seen) == count:
                signal.raise_signal(number)
            return whole(self, *given, **named)

        patch = pytest.MonkeyPatch()
        patch.setattr(owner, name, step)
        return patch, seen

    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield arm
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("script", WORDS, ids=lambda script: script.__name__.split(".")[-1])
def test_an_interrupted_command_goes_on_to_the_same_results(script, interrupt, call, place, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", str(place / "cache"))
    monkeypatch.setattr(comparison, "LOGGED_STEPS", 2)
    runs, key = place / "runs", script.__name__.split(".")[-1]
    words = WORDS[script].split()
    patch, steps = interrupt(script)
    code, output = call(script, "--name", f"straight-{key}", *words, folder=place)
    patch.undo()
    assert code == 0, output
    straight = read_results(runs / f"straight-{key}")
    assert straight
    chance = random.Random(zlib.crc32(key.encode()))
    for number in SIGNALS:
        name = f"cut-{key}-{number}"
        patch, _ = interrupt(script, number, chance.randint(1, len(steps)))
        code, output = call(script, "--name", name, *words, folder=place)
        patch.undo()
        assert code == 128 + number, output
        assert output.endswith("interrupted")
        assert not multiprocessing.active_children()
        assert not list(runs.rglob("*.tmp"))
        assert not list(runs.glob(".*.writer.json"))
        more = words
        if script is train:
            begun = (runs / name / "checkpoint.pt").is_file()
            more = ["--resume", "--track", "off"] if begun else [*words, "--overwrite"]
        code, output = call(script, "--name", name, *more, folder=place)
        assert code == 0, output
        assert read_results(runs / name) == straight
