"""Training: interrupted and resumed it is the run that was never interrupted, and what is kept is the best."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.runs.progress import CHECKPOINT, CURVE
from longplay.agents.runs.reading import load_agent
from longplay.agents.runs.training import train
from longplay.tests.agents.small import tiny_run
from longplay.tests.assertions import assert_same

ALGORITHMS = {  # by algorithm, the action
    "ppo": "weights",
    "a2c": "candidates",  # with a policy of slates
    "recurrent-ppo": "weights",
    "sac": "weights",
    "td3": "weights",
    "qr-dqn": "presets",
    "ars": "weights",
}
CUTS = (  # where a run is interrupted: from which step on, at an evaluation or not, seconds between checkpoints
    (1, False, 0.0),  # at the start of the second rollout: the checkpoint is that of step 0
    (300, False, 0.0),  # between two evaluations
    (300, True, 0.0),  # at an evaluation whose policy may have been kept already: it is done again
    (500, False, 1e9),  # long after the only checkpoint, which is that of step 0
)


def quiet(row):
    """Report to nobody."""


def interrupting(at, evaluations):
    """A report that interrupts at the first step from `at` on: at an evaluation, or between two."""

    def report(row):
        if row["step"] >= at and ("minutes" in row) == evaluations:
            raise KeyboardInterrupt

    return report


def plain(value):
    """Tensors as arrays, so that `assert_same` looks into them."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.detach().numpy() if isinstance(value, torch.Tensor) else value


def checkpoint(folder):
    return plain(torch.load(folder / CHECKPOINT, weights_only=True))


def another_process():
    """What differs in a new process: the generators that SB3 draws from."""
    np.random.seed(987)  # noqa: NPY002
    torch.manual_seed(987)


@pytest.fixture(scope="session")
def straight(setting, tmp_path_factory):
    """Runs that nobody interrupted: algorithm to configuration, folder, curve and rows reported."""
    found = {}
    for algorithm, action in ALGORITHMS.items():
        folder = tmp_path_factory.mktemp(algorithm)
        config, seen = tiny_run(setting, agent=algorithm, action=action), []
        found[algorithm] = config, folder, train(config, folder, False, seen.append, seconds=0.0), seen
    return found


class TestResumption:
    @pytest.mark.parametrize(
        ("algorithm", "at", "evaluation", "seconds"),
        [(algorithm, *cut) for algorithm in ("ppo", "sac") for cut in CUTS]
        + [(algorithm, *CUTS[1]) for algorithm in ("a2c", "recurrent-ppo", "qr-dqn", "ars")],
    )
    def test_resumed_run_is_the_straight_run(self, straight, tmp_path, algorithm, at, evaluation, seconds):
        config, folder, curve, _ = straight[algorithm]
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, False, interrupting(at, evaluation), seconds=seconds)
        assert checkpoint(tmp_path)["counters"]["num_timesteps"] < config.steps
        another_process()
        resumed = train(config, tmp_path, True, quiet, seconds=0.0)
        pd.testing.assert_frame_equal(resumed, curve, check_exact=True)
        assert (tmp_path / CURVE).read_bytes() == (folder / CURVE).read_bytes()
        assert (tmp_path / "policy.safetensors").read_bytes() == (folder / "policy.safetensors").read_bytes()
        assert_same(checkpoint(tmp_path), checkpoint(folder))  # weights, optimisers, buffer, users, generators

    def test_interrupted_twice_it_is_still_the_straight_run(self, straight, tmp_path):
        config, folder, curve, _ = straight["td3"]
        for at in (200, 500):
            another_process()
            with pytest.raises(KeyboardInterrupt):
                train(config, tmp_path, at > 200, interrupting(at, False), seconds=0.0)
        resumed = train(config, tmp_path, True, quiet, seconds=0.0)
        pd.testing.assert_frame_equal(resumed, curve, check_exact=True)
        assert_same(checkpoint(tmp_path), checkpoint(folder))

    def test_two_straight_runs_are_the_same_and_another_seed_is_not(self, straight, setting, tmp_path):
        config, folder, _, _ = straight["ppo"]
        train(config, tmp_path / "again", False, quiet)
        assert_same(checkpoint(tmp_path / "again"), checkpoint(folder))
        train(tiny_run(setting, seed=1), tmp_path / "other", False, quiet)
        assert (tmp_path / "other/policy.safetensors").read_bytes() != (folder / "policy.safetensors").read_bytes()

    def test_resuming_a_finished_run_changes_nothing(self, straight, tmp_path):
        config, folder, curve, _ = straight["ppo"]
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        pd.testing.assert_frame_equal(train(config, folder, True, quiet), curve, check_exact=True)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_starting_again_forgets_the_checkpoint(self, straight, setting, tmp_path):
        config = tiny_run(setting, steps=256)
        (tmp_path / CHECKPOINT).write_text("of an earlier run")
        curve = train(config, tmp_path, False, quiet)
        assert curve["step"].iloc[0] == 0.0
        assert checkpoint(tmp_path)["counters"]["num_timesteps"] == 256

    def test_a_killed_process_leaves_a_checkpoint_that_resumes(self, straight, setting, tmp_path):
        _, _, curve, _ = straight["ppo"]
        driver = (
            "import torch\n"
            "from pathlib import Path\n"
            "from longplay.agents.runs.training import train\n"
            "from longplay.tests.agents.small import short_setting, tiny_run\n"
            "torch.set_num_threads(1)\n"
            # A point every 256 slates, as in the straight run, and more slates than the test waits for.
            f"config = tiny_run(short_setting(), steps={768 * 1000}, evals={3 * 1000})\n"
            f"train(config, Path({str(tmp_path)!r}), False, lambda row: None, seconds=0.0)\n"
        )
        with subprocess.Popen([sys.executable, "-c", driver]) as process:
            try:
                deadline = time.monotonic() + 120
                while not (tmp_path / CURVE).is_file() or len(pd.read_csv(tmp_path / CURVE)) < 3:
                    assert process.poll() is None, "the training ended by itself"
                    assert time.monotonic() < deadline, "no curve after two minutes"
                    time.sleep(0.02)
            finally:
                os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert checkpoint(tmp_path)["counters"]["num_timesteps"] >= 256
        longer = tiny_run(setting, steps=768 * 1000, evals=3 * 1000)
        reached = len(pd.read_csv(tmp_path / CURVE))
        with pytest.raises(KeyboardInterrupt):
            train(longer, tmp_path, True, interrupting((reached + 1) * 256, True), seconds=0.0)
        resumed = pd.read_csv(tmp_path / CURVE)
        assert len(resumed) > reached
        # The last point of the straight run is that of its end, not of a rollout's start.
        shared = min(len(curve) - 1, len(resumed))
        pd.testing.assert_frame_equal(resumed[:shared], curve[:shared], check_exact=True)


class TestCheckpoint:
    def test_interruption_leaves_a_checkpoint_of_plain_tensors(self, setting, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            train(tiny_run(setting), tmp_path, False, interrupting(300, False), seconds=0.0)
        content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
        assert 0 < content["counters"]["num_timesteps"] <= 300
        assert not list(tmp_path.glob("*.tmp"))

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    def test_truncated_checkpoint_is_refused(self, straight, tmp_path, share):
        config, folder, _, _ = straight["ppo"]
        whole = (folder / CHECKPOINT).read_bytes()
        (tmp_path / CHECKPOINT).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read as a checkpoint: .*give --overwrite"):
            train(config, tmp_path, True, quiet)

    def test_checkpoint_with_code_in_it_is_refused(self, straight, tmp_path):
        config, _, _, _ = straight["ppo"]
        torch.save({"parameters": print}, tmp_path / CHECKPOINT)
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            train(config, tmp_path, True, quiet)

    def test_nothing_to_resume_is_said(self, straight, tmp_path):
        config, _, _, _ = straight["ppo"]
        with pytest.raises(ValueError, match=r"checkpoint\.pt does not exist; there is nothing to resume"):
            train(config, tmp_path, True, quiet)

    def test_checkpoint_of_another_algorithm_is_refused(self, straight, tmp_path, setting):
        _, folder, _, _ = straight["sac"]
        (tmp_path / CHECKPOINT).write_bytes((folder / CHECKPOINT).read_bytes())
        with pytest.raises(ValueError, match=r"holds no checkpoint of PPO weights"):
            train(tiny_run(setting), tmp_path, True, quiet)

    def test_failed_write_leaves_the_old_checkpoint(self, setting, tmp_path, monkeypatch):
        with pytest.raises(KeyboardInterrupt):
            train(tiny_run(setting), tmp_path, False, interrupting(200, False), seconds=0.0)
        before = (tmp_path / CHECKPOINT).read_bytes()

        def full_disk(content, file):
            file.write(b"half")
            raise OSError("no space left")

        monkeypatch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space left"):
            train(tiny_run(setting), tmp_path, True, quiet, seconds=0.0)
        assert (tmp_path / CHECKPOINT).read_bytes() == before


class TestCurve:
    @pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "ars"])  # whose rounds are long
    def test_points_are_at_the_start_evenly_spaced_and_at_the_end(self, straight, algorithm):
        config, folder, curve, seen = straight[algorithm]
        steps = curve["step"].to_numpy()
        assert steps[0] == 0.0
        assert steps[-1] == config.steps
        assert len(steps) == config.evals + 1
        assert (np.diff(steps) > 0).all()
        pd.testing.assert_frame_equal(pd.read_csv(folder / CURVE), curve, check_exact=True)
        assert [row["step"] for row in seen if "minutes" in row] == list(steps)

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_policy_kept_is_the_best_of_the_curve(self, straight, setting, algorithm):
        config, folder, curve, _ = straight[algorithm]
        about = json.loads((folder / "policy.json").read_text())
        best = curve.loc[curve["minutes"].idxmax()]
        assert about["step"] == best["step"]
        assert about["label"] == config.label
        agent = load_agent(folder, config, setting)
        evaluator = Evaluator(
            setting.world, setting.item_vectors, held_out_users(setting.world, "validation", 8), VALIDATION_LUCK
        )
        assert evaluator.mean_minutes(agent) == about["minutes"] == best["minutes"]

    def test_a_worse_policy_is_not_kept(self, setting, tmp_path, monkeypatch):
        values = iter([5.0, 9.0, 7.0, 9.0])
        play = Evaluator.play
        monkeypatch.setattr(Evaluator, "play", lambda self, agent: play(self, agent).assign(minutes=next(values)))
        curve = train(tiny_run(setting), tmp_path, False, quiet)
        assert list(curve["minutes"]) == [5.0, 9.0, 7.0, 9.0]
        about = json.loads((tmp_path / "policy.json").read_text())
        assert (about["minutes"], about["step"]) == (9.0, curve["step"][1])

    def test_training_minutes_are_minutes_of_whole_episodes(self, straight):
        _, _, curve, _ = straight["ppo"]
        assert np.isnan(curve["training_minutes"].iloc[0])  # nobody has finished yet
        # Rewards are scaled for the learner; reports are in minutes, like the validation's.
        assert 0.3 < curve["training_minutes"].iloc[-1] / curve["minutes"].iloc[-1] < 3.0

    def test_learning_changes_the_policy(self, straight, setting):
        for algorithm in ALGORITHMS:
            _, _, curve, _ = straight[algorithm]
            # The best of sixteen presets may stay the best through a few hundred slates.
            assert curve["minutes"].nunique() > 1 or ALGORITHMS[algorithm] == "presets"
