"""Plain sense: each check notices what it is for, worlds are kept, and constants stand at the ends of their ranges."""

import numpy as np
import pandas as pd
import pytest

from longplay.agents.fresh import make_fresh
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.playing.luck import VALIDATION_LUCK
from longplay.agents.rules.similarity import GreedySimilarity
from longplay.envs.candidates.scoring import Scorer
from longplay.envs.make import make_world
from longplay.envs.users.world import build_world
from longplay.scripts.studies import plain_sense
from longplay.scripts.studies.plain_sense import (
    AGAIN,
    BLANK,
    CIRCLE,
    FIRST,
    FRESH,
    LONGEST,
    MYOPIC,
    POPULAR,
    RANDOM,
    RATED,
    AgainAgent,
)
from longplay.tests.envs.worlds import make_catalog, remembering

SMALL = ["--envs", "longplay/Video-v1", "--catalog", "items.csv", "--scenario", "remembering.toml", "--users", "6"]
USERS = 40
# minutes, minutes of the first session, sessions, share that is gone, clicks of 10 slates
SOUND = {
    BLANK: (0, 0, 4, 0.8, 0),
    FRESH: (180, 13, 12, 0.45, 4),
    POPULAR: (140, 12, 10, 0.5, 3),
    RANDOM: (90, 8, 9, 0.55, 2),
    AGAIN: (150, 13, 11, 0.45, 4),
    LONGEST: (170, 13, 11, 0.45, 4),
    RATED: (210, 12, 13, 0.35, 4),
    FIRST: (70, 6, 9, 0.55, 2),
    CIRCLE: (60, 6, 9, 0.55, 2),
    MYOPIC: (480, 28, 17, 0.25, 7),
}
FLAWS = {
    "a blank screen loses 75% (97% in a season)": {BLANK: (0, 0, 9, 0.4, 0)},
    "first session: similarity > popularity > random": {POPULAR: (140, 14, 10, 0.5, 3)},
    "a handful to a few dozen sessions a month": {FRESH: (180, 13, 50, 0.45, 4)},
    "no rule at a ceiling": {RATED: (490, 12, 13, 0.35, 4)},
    "the click does not decide alone": {RATED: (210, 12, 13, 0.35, 6)},
    "longest: no gain": {LONGEST: (200, 13, 11, 0.5, 4)},
    "first K candidates: no gain": {FIRST: (200, 6, 9, 0.55, 2)},
    "ignored slate again: no gain": {AGAIN: (200, 13, 11, 0.5, 4)},
    "popular in a circle: no gain": {CIRCLE: (200, 6, 9, 0.55, 2)},
}


def make_lives(means):
    """Lives whose means are these; users differ alike under all policies."""
    rows = []
    for name, (minutes, first, sessions, gone, clicks) in means.items():
        for user in range(USERS):
            row = {"policy": name, "user": user, "minutes": minutes + user - (USERS - 1) / 2, "sessions": sessions}
            row |= {"first_session_minutes": first, "churned": user < gone * USERS, "clicks": clicks, "slates": 10}
            rows.append(row)
    return pd.DataFrame(rows)


class TestChecks:
    def test_a_sound_world_passes_all(self):
        assert all(plain_sense.check_world(make_lives(SOUND), 30.0).values())

    @pytest.mark.parametrize("name", FLAWS)
    def test_each_flaw_is_noticed_alone(self, name):
        found = plain_sense.check_world(make_lives(SOUND | FLAWS[name]), 30.0)
        assert [check for check, holds in found.items() if not holds] == [name]

    def test_a_season_asks_more_of_a_blank_screen_and_three_times_the_sessions(self):
        found = plain_sense.check_world(make_lives(SOUND), 90.0)
        assert not found["a blank screen loses 75% (97% in a season)"]
        assert found["a handful to a few dozen sessions a month"]
        assert not plain_sense.check_world(make_lives(SOUND | {FRESH: (180, 13, 8, 0.45, 4)}), 90.0)[
            "a handful to a few dozen sessions a month"
        ]

    def test_a_horizon_in_between_asks_for_the_same_share_each_day(self):
        found = [plain_sense.read_loss(days) for days in (7.0, 30.0, 60.0, 90.0, 180.0)]
        assert found == pytest.approx([0.75, 0.75, 1 - (0.25 * 0.03) ** 0.5, 0.97, 0.97])

    def test_no_gain_is_told_by_pairs_of_users(self):
        """Users differ by far more than the two policies do."""
        lives = make_lives({FRESH: (100, 1, 1, 0, 1), LONGEST: (101, 1, 1, 0, 1), AGAIN: (100, 1, 1, 0, 1)})
        assert not plain_sense.gains_nothing(lives, LONGEST)
        assert plain_sense.gains_nothing(lives, AGAIN)


@pytest.fixture
def here(place, environment, monkeypatch):
    monkeypatch.setenv("LONGPLAY_CACHE", environment["LONGPLAY_CACHE"])
    return place


class TestStudy:
    def test_all_are_played_and_kept(self, here, call, monkeypatch):
        code, output = call(plain_sense, "--name", "plain", *SMALL, folder=here)
        assert code == 0, output
        lives = pd.read_parquet(here / "runs/plain/results.parquet")
        assert set(plain_sense.QUICK) - {plain_sense.BONUS} <= set(lives["policy"])
        assert (lives.groupby("policy")["user"].nunique() == 6).all()
        assert lives.loc[lives["policy"] == BLANK, "minutes"].sum() == 0
        assert "a blank screen loses 75%" in output

        monkeypatch.setattr(plain_sense, "play_world", lambda *given, **named: pytest.fail("nothing is left to play"))
        again = call(plain_sense, "--name", "plain", *SMALL, folder=here)
        assert again[0] == 0
        assert "was begun with users = 6, not 7" in " ".join(
            call(plain_sense, "--name", "plain", *SMALL[:-1], "7", folder=here)[1].split()
        )

    def test_an_interrupted_world_goes_on_policy_by_policy(self, here, call, monkeypatch):
        play, played = Evaluator.play, []

        def play_three(self, agent):
            played.append(agent)
            if len(played) == 4:
                raise KeyboardInterrupt
            return play(self, agent)

        monkeypatch.setattr(Evaluator, "play", play_three)
        assert call(plain_sense, "--name", "cut", *SMALL, folder=here)[0] == 130
        parts = list((here / "runs/cut").glob("*/*.parquet"))
        assert len(parts) == 3
        assert call(plain_sense, "--name", "cut", *SMALL, folder=here)[0] == 0
        lives = pd.read_parquet(here / "runs/cut/results.parquet")
        assert len(played) == 4 + lives["policy"].nunique() - 3
        assert [path.name for path in (here / "runs/cut").glob("*/*.parquet")] == ["lives.parquet"]

    def test_constants_stand_at_both_ends_and_a_bonus_is_played(self, here, call):
        words = ["--ends", "--constants", "churn.trust", "--workers", "2"]
        code, output = call(plain_sense, "--name", "ends", *SMALL, *words, folder=here)
        assert code == 0, output
        low, high = (
            plain_sense.Arguments(scenario=str(here / "remembering.toml"))
            .make_world("longplay/Video-v1")
            .read_scenario()
            .ranges["churn_trust"]
        )
        worlds = ["Video-v1-seed-0", *(f"Video-v1-seed-0-churn.trust-{end:g}" for end in (low, high))]
        lives = pd.read_parquet(here / "runs/ends/results.parquet")
        assert sorted(set(lives["world"])) == sorted(worlds)
        assert set(lives["policy"]) == set(plain_sense.QUICK)
        assert f"trust = {high:g}" in (here / f"runs/ends/{worlds[2]}/scenario.toml").read_text()
        assert "gain of a constant bonus" in output

    def test_a_slate_is_shown_again_after_nothing_was_opened_in_it(self, here):
        world = plain_sense.Arguments(scenario=str(here / "remembering.toml"), catalog=str(here / "items.csv"))
        setting = world.make_world("longplay/Video-v1").make_setting(here)
        seen, agent = [], plain_sense.make_policies(setting, False, 3.0)[AGAIN]()

        def watch(observation):
            slates = agent.act(observation)
            seen.append((observation["context"].copy(), observation["slate_ids"].astype(int).copy(), slates))
            return slates

        users = plain_sense.held_out_users(setting.world, "validation", 12)
        plain_sense.Evaluator(setting.world, setting.item_vectors, users, 3).play(watch)
        again = [
            (before == slates).all(axis=1) == (context[:, plain_sense.ContextColumn.SKIPS] % 2 == 1)
            for context, before, slates in seen
        ]
        assert sum(len(rows) for rows in again) > 50
        # A fresh slate of the same items is possible where few are left, a missing repetition is not.
        skipped = [context[:, plain_sense.ContextColumn.SKIPS] % 2 == 1 for context, _, _ in seen]
        assert sum(rows.sum() for rows in skipped) > 5
        assert all(rows[mask].all() for rows, mask in zip(again, skipped, strict=True))


def test_the_circle_comes_to_an_item_again_when_it_has_been_evicted():
    world = build_world(make_catalog(80), remembering(impression__memory=64))
    agent = plain_sense.CircleAgent.evict(world)
    memory, slots = world.scenario.memory, world.scenario.shape.slate
    observation, shown = {"slate_ids": np.zeros((2, slots))}, []
    for _ in range(len(agent.slates) + 1):
        observation = {"slate_ids": agent.act(observation)}
        shown.append(observation["slate_ids"])
    assert len(np.unique(agent.slates)) == agent.slates.size
    assert memory < agent.slates.size <= memory + slots
    assert (shown[-1] == shown[0]).all()
    popularity = world.catalog.popularity
    assert popularity[shown[0] - 1].min() >= np.delete(popularity, shown[0][0] - 1).max()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--envs longplay/Video-v0", "in 'longplay/Video-v0' impressions leave no trace"),
        ("--ends --constants churn.trst", "constants: 'churn.trst' is no assumed constant of longplay/Video-v1"),
        ("--constants churn.trust", "constants = ['churn.trust'] would change nothing; give --ends, too"),
        ("--users 0", "users = 0 must be at least 1"),
        ("--workers 0", "workers = 0 must be at least 1"),
    ],
)
def test_a_wrong_argument_is_named(here, call, arguments, said):
    code, output = call(plain_sense, "--name", "wrong", "--envs", "longplay/Video-v1", *arguments.split(), folder=here)
    assert code == 2
    assert said in " ".join(output.split())
    assert not (here / "runs/wrong/study.json").exists()


@pytest.mark.parametrize("name", ["video-v1", "shop-v1", "social-v1"])
def test_an_ignored_slate_shown_again_gains_nothing(name):
    """In the worlds as they are, by the items' true vectors, so that similarity is as good as it can be."""
    world = make_world(name)
    vectors = world.items["taste"][1:].astype(np.float32)
    evaluator = Evaluator(world, vectors, held_out_users(world, "validation", 60), VALIDATION_LUCK)
    fresh = make_fresh(GreedySimilarity(Scorer(world, vectors)))
    agents = {FRESH: fresh, AGAIN: AgainAgent(make_fresh(GreedySimilarity(Scorer(world, vectors))))}
    lives = pd.concat([evaluator.play(agent).assign(policy=policy) for policy, agent in agents.items()])
    assert plain_sense.gains_nothing(lives, AGAIN)
    shown = lives.groupby("policy")["repeated"].mean()
    assert shown[AGAIN] > shown[FRESH] + 0.05  # it does show them again
