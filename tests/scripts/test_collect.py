"""Collecting a log from the command line: what is written, resumed and refused."""

import hashlib
from pathlib import Path

import minari
import numpy as np
import pandas as pd
import pytest

from longplay.agents.logs.minari import read_minari
from longplay.agents.setting import Setting
from longplay.envs.catalogs.catalog import Catalog
from longplay.scripts import collect
from longplay.tests.scripts.conftest import furnish

SMALL = ("--catalog", "items.csv", "--scenario", "small.toml")
COMMAND = (*SMALL, "--items", "60", "--users", "40", "--minari-users", "18")
TABLES = ("items", "log", "sessions", "users")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(collect, "CHUNK", 15)


@pytest.fixture
def folder(tmp_path):
    """A folder to run in, with items and a scenario."""
    furnish(tmp_path)
    return tmp_path


def digests(run):
    return {name: hashlib.sha256((run / f"{name}.parquet").read_bytes()).hexdigest() for name in TABLES}


@pytest.fixture
def counted(monkeypatch):
    """Users of each chunk that is played; an interruption comes before the chunk named in ``stop``."""

    class Counted(list):
        stop = None

    played, real = Counted(), collect.collect

    def count(env, policy, users, *rest):
        if len(played) == played.stop:
            raise KeyboardInterrupt
        played.append(len(users))
        return real(env, policy, users, *rest)

    monkeypatch.setattr(collect, "collect", count)
    return played


class TestCollect:
    def test_writes_what_it_says(self, call, folder):
        code, output = call(collect, "--name", "log", *COMMAND, folder=folder)
        assert code == 0, output
        run = folder / "runs" / "log"
        assert {path.name for path in run.iterdir()} == {
            "study.json",
            "minari",
            *(f"{name}.parquet" for name in TABLES),
        }
        log, users = (pd.read_parquet(run / f"{name}.parquet") for name in ("log", "users"))
        assert users["user"].tolist() == list(range(40))
        assert "60 items, 200 users" in output
        assert f"40 users, {users['sessions'].sum()} sessions, {users['slates'].sum():,} slates" in output
        assert f"{users['clicks'].sum()} clicks ({users['clicks'].sum() / users['slates'].sum():.1%}" in output
        assert f"{len(log):,} rows, {log['consumed'].sum():,} consumed, the past included" in output
        assert "runs/log/log.parquet: 0." in output
        assert log["item"].max() <= 60

    def test_its_items_give_the_same_world(self, call, folder, monkeypatch):
        call(collect, "--name", "log", *COMMAND, folder=folder)
        monkeypatch.chdir(folder)
        options = {"scenario": "small.toml"}
        world = Setting(catalog="runs/log/items.parquet", **options).world
        log = pd.read_parquet("runs/log/log.parquet")
        assert [world.catalog.ids[n - 1] for n in log["item"]] == log["item_id"].tolist()
        arguments = ("--catalog", "runs/log/items.parquet", "--scenario", "small.toml", "--users", "40")
        code, output = call(collect, "--name", "again", *arguments, "--minari-users", "0", folder=folder)
        assert code == 0, output
        assert "note:" not in output
        assert digests(folder / "runs" / "again") == digests(folder / "runs" / "log")
        assert not (folder / "runs" / "again" / "minari").exists()

    def test_a_recovered_environment_plays_the_episodes_again(self, call, folder, monkeypatch):
        call(collect, "--name", "log", *COMMAND, folder=folder)
        monkeypatch.chdir(folder)
        dataset = read_minari(folder / "runs" / "log" / "minari")
        assert dataset.total_episodes == 18
        assert dataset.id == "longplay/slates-v0"
        self.play_again(dataset, dataset.recover_environment())

    @pytest.mark.parametrize("moved", [False, True])
    def test_it_is_recovered_from_another_folder(self, call, folder, monkeypatch, tmp_path_factory, moved):
        call(collect, "--name", "log", *COMMAND, folder=folder)
        other = tmp_path_factory.mktemp("other")
        monkeypatch.chdir(other)
        run = folder / "runs" / "log"
        if moved:  # the folder of the log alone: neither the scenario's file nor the table of before is there
            run.rename(other / "log")
            (folder / "small.toml").unlink()
            run = other / "log"
            dataset = read_minari(Path("log") / "minari")
        else:  # as others read it
            monkeypatch.setenv("MINARI_DATASETS_PATH", str(run / "minari"))
            dataset = minari.load_dataset("longplay/slates-v0")
        assert dataset.env_spec.kwargs["catalog"] == str(run / "items.parquet")
        for eval_env in (False, True):
            self.play_again(dataset, dataset.recover_environment(eval_env=eval_env))

    @staticmethod
    def play_again(dataset, env):
        for n in (0, 17):
            episode, (metadata,) = dataset[n], dataset.storage.get_episode_metadata([n])
            observation, _ = env.reset(seed=metadata["seed"], options=metadata["options"])
            for step, slate in enumerate(episode.actions):
                assert all(np.array_equal(observation[key], found[step]) for key, found in episode.observations.items())
                observation, reward, terminated, truncated, _ = env.step(slate)
                expected = [getattr(episode, name)[step] for name in ("rewards", "terminations", "truncations")]
                assert [reward, terminated, truncated] == expected
            assert all(np.array_equal(observation[key], found[-1]) for key, found in episode.observations.items())
            assert terminated or truncated

    def test_an_interrupted_run_goes_on_to_the_same_bytes(self, call, folder, counted):
        call(collect, "--name", "whole", *COMMAND, folder=folder)
        assert counted == [15, 15, 10]
        counted.clear()
        counted.stop = 2
        code, output = call(collect, "--name", "broken", *COMMAND, folder=folder)
        assert (code, output.split()[-1]) == (130, "interrupted")
        run = folder / "runs" / "broken"
        assert not (run / "log.parquet").exists()
        counted.stop = None
        code, output = call(collect, "--name", "broken", *COMMAND, folder=folder)
        assert code == 0, output
        assert counted == [15, 15, 10]
        assert digests(run) == digests(folder / "runs" / "whole")
        assert not (run / "parts").exists()
        whole, broken = (read_minari(folder / "runs" / name / "minari") for name in ("whole", "broken"))
        for one, other in zip(whole, broken, strict=True):
            assert np.array_equal(one.actions, other.actions)
            assert np.array_equal(one.rewards, other.rewards)

    def test_an_interrupted_join_is_done_again(self, call, folder, counted, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(collect, "write_minari", interrupt)
            assert call(collect, "--name", "log", *COMMAND, folder=folder)[0] == 130
        assert call(collect, "--name", "log", *COMMAND, folder=folder)[0] == 0
        assert counted == [15, 15, 10]
        assert read_minari(folder / "runs" / "log" / "minari").total_episodes == 18

    def test_a_finished_run_is_only_told(self, call, folder, counted):
        first = call(collect, "--name", "log", *COMMAND, folder=folder)[1]
        again = call(collect, "--name", "log", *COMMAND, folder=folder)[1]
        assert counted == [15, 15, 10]
        told = first[first.index("40 users,") :]
        assert again.endswith(told)

    def test_the_seed_moves_items_and_luck(self, call, folder):
        for seed in ("0", "1"):
            call(collect, "--name", f"seed-{seed}", *COMMAND, "--seed", seed, folder=folder)
        one, other = (digests(folder / "runs" / f"seed-{seed}") for seed in (0, 1))
        assert not set(one.values()) & set(other.values())

    def test_other_users_and_a_policy_with_candidates(self, call, place, environment, monkeypatch):
        monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
        arguments = ("--policy", "similarity", "--epsilon", "0.2", "--split", "test", "--users", "6")
        code, output = call(collect, "--name", "nearest", *SMALL, *arguments, folder=place)
        assert code == 0, output
        run = place / "runs" / "nearest"
        assert pd.read_parquet(run / "users.parquet")["user"].tolist() == list(range(180, 186))
        assert Catalog.from_table(run / "items.parquet").digest == Catalog.from_table(place / "items.csv").digest
        dataset = read_minari(run / "minari")
        assert dataset.observation_space["candidates"].shape == (40,)
        assert dataset.storage.metadata["algorithm_name"] == "similarity, 20% random"


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ("--policy simlarity", "policy = 'simlarity' is unknown (did you mean 'similarity'?); allowed: 'random'"),
            ("--policy similarity --epsilon 2", "epsilon = 2.0 is out of range; allowed: 0 to 1"),
            ("--policy random --epsilon 0.5", "epsilon = 0.5: the policy 'random' is random already"),
            ("--seed -1", "seed = -1 must be at least 0"),
            ("--minari-users -1", "minari_users = -1 must be at least 0, which is none"),
            ("--users 161", "users = 161 is out of range; the train split has 1 to 160"),
            ("--users 0", "users = 0 is out of range; the train split has 1 to 160"),
            ("--split tset", "split = 'tset' is unknown; allowed: 'train', 'validation', 'test'"),
            ("--items 81", "items = 81 is out of range; catalogue 'items' allows 2 to 80"),
            ("--env longplay/Vido-v0", "env = 'longplay/Vido-v0' is unknown"),
        ],
    )
    def test_a_wrong_argument_is_named_and_nothing_is_written(self, call, folder, arguments, said):
        code, output = call(collect, "--name", "x", *SMALL, *arguments.split(), folder=folder)
        assert code == 2
        assert said in output
        assert not (folder / "runs" / "x").exists()

    def test_another_log_under_the_same_name_is_refused(self, call, folder):
        assert call(collect, "--name", "log", *COMMAND, folder=folder)[0] == 0
        before = digests(folder / "runs" / "log")
        code, output = call(collect, "--name", "log", *COMMAND, "--seed", "1", folder=folder)
        assert code == 2
        assert "runs/log was begun with seed = 0, not 1; give another --name" in output
        assert digests(folder / "runs" / "log") == before

    def test_a_catalogue_that_does_not_read_back_equal_is_said(self, folder, tmp_path, capsys):
        """A rating that is unknown stands at 0.5, whatever its rank."""
        catalog = Catalog.from_table(folder / "items.csv")
        odd = Catalog(
            "odd",
            catalog.ids,
            catalog.texts,
            catalog.topics,
            catalog.minutes,
            np.where(np.arange(len(catalog)) < 9, 0.5, catalog.popularity),
            catalog.rating,
            catalog.published,
        )
        for one, notes in ((catalog, 0), (odd, 1)):
            collect.write_catalog(one, tmp_path / "out.parquet")
            assert capsys.readouterr().out.count("items of unknown rank") == notes
