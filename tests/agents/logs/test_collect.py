"""Logs under a policy: what is recorded is what happened, and nothing hidden."""

import dataclasses

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.vector import AutoresetMode

from longplay.agents.logs.collect import (
    collect,
    describe_profiles,
    draw_items,
    join_tables,
    label_topics,
    make_env,
    read_episodes,
    tabulate_items,
    write_collected,
)
from longplay.agents.logs.exploring import ExploringAgent
from longplay.agents.logs.minari import read_minari, write_minari
from longplay.agents.playing.evaluate import Evaluator
from longplay.agents.rules.simple import RandomSlate
from longplay.encoders.text.sentences import NO_PROFILE
from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.env import SlateVectorEnv
from longplay.envs.users.world import build_world
from longplay.tests.envs.worlds import small

USERS = np.arange(3, 33)
LUCK = 3
KEPT = 7


@pytest.fixture(scope="module")
def part(world):
    return collect(make_env(world, len(USERS)), ExploringAgent(world), USERS, LUCK, episodes=KEPT)


@pytest.fixture(scope="module")
def visible(states):
    observation, _ = states
    return {key: value for key, value in observation.items() if key != "latent"}


class TestLog:
    def test_columns_are_those_documented_and_nothing_hidden(self, part):
        names = {
            "log": "user session depth time position item item_id consumed completion minutes hour",
            "sessions": "user session begin end slates clicks minutes completion gap last censored",
            "users": "user profile days churned sessions slates clicks minutes",
        }
        for table, columns in names.items():
            assert list(getattr(part, table)) == columns.split()
        assert not part.log.isna().any(axis=None)

    def test_rows_are_what_the_environment_showed_and_said(self, part, world):
        """The same lives, played by hand."""
        env = SlateVectorEnv(world, len(USERS), autoreset_mode=AutoresetMode.DISABLED)
        observation, info = env.reset(seed=LUCK, options={"users": USERS})
        active, expected = np.ones(len(USERS), bool), []
        policy = ExploringAgent(world)
        while active.any():
            slates = policy.act(observation)
            context, day = observation["context"], info["day"]
            observation, reward, terminated, truncated, info = env.step(slates)
            for b in np.flatnonzero(active):
                session, depth = context[b, 6], context[b, 0]
                for k, item in enumerate(slates[b]):
                    hit = k == info["choice"][b]
                    paid = (info["completion"][b], reward[b]) if hit else (0.0, 0.0)
                    expected.append((USERS[b], session, depth, day[b], k, item, hit, *paid))
            active &= ~(terminated | truncated)
        names = ["user", "session", "depth", "time", "position", "item", "consumed", "completion", "minutes"]
        by_hand = pd.DataFrame(expected, columns=names).sort_values(["user", "time", "position"], ignore_index=True)
        shown = part.log[part.log["session"] >= 0][names].reset_index(drop=True)
        pd.testing.assert_frame_equal(shown, by_hand, check_dtype=False, rtol=1e-6)
        assert shown["consumed"].sum() > 100

    def test_totals_are_the_evaluators(self, part, world, item_vectors):
        table = Evaluator(world, item_vectors, USERS, LUCK).play(ExploringAgent(world))
        for name in ("user", "churned", "sessions", "slates", "clicks", "minutes", "days"):
            assert part.users[name].to_numpy() == pytest.approx(table[name].to_numpy()), name

    def test_the_three_tables_agree(self, part):
        shown = part.log[part.log["session"] >= 0]
        for table, keys in ((part.users, ["user"]), (part.sessions, ["user", "session"])):
            grouped = shown.groupby(keys)
            assert grouped["consumed"].sum().to_numpy() == pytest.approx(table["clicks"])
            assert grouped["minutes"].sum().to_numpy() == pytest.approx(table["minutes"], rel=1e-5)
            assert grouped.size().to_numpy() == pytest.approx(10 * table["slates"])
        consumed = shown[shown["consumed"]].groupby(["user", "session"])["completion"].mean()
        table = part.sessions.set_index(["user", "session"])["completion"]
        assert table.dropna().to_numpy() == pytest.approx(consumed.to_numpy(), rel=1e-5)
        assert (table.isna() == (part.sessions["clicks"] == 0).to_numpy()).all()

    def test_items_have_their_owners_ids_and_hours_are_of_the_day(self, part, world):
        assert part.log["item"].between(1, len(world.catalog)).all()
        assert [world.catalog.ids[n - 1] for n in part.log["item"]] == part.log["item_id"].tolist()
        assert np.abs(part.log["hour"] - 24 * (part.log["time"] % 1)).max() < 1e-4

    def test_the_past_is_the_history_at_arrival(self, part, world):
        past = part.log[part.log["session"] == -1]
        people = world.people[USERS]
        assert past["consumed"].all()
        assert (past[["depth", "position"]] == -1).all(axis=None)
        assert (past["minutes"] == 0).all()
        shape = (len(USERS), world.scenario.shape.past)
        assert np.array_equal(past["item"].to_numpy().reshape(shape), people["past_items"][:, ::-1])
        assert past["completion"].to_numpy().reshape(shape) == pytest.approx(people["past_completion"][:, ::-1])
        begin = part.sessions.groupby("user")["begin"].first().to_numpy()
        age = begin[:, None] - past["time"].to_numpy().reshape(shape)
        assert age == pytest.approx(people["past_age"][:, ::-1], abs=1e-5)

    def test_rows_are_in_order(self, part):
        assert part.log["user"].is_monotonic_increasing
        assert (part.log.groupby("user")["time"].diff().dropna() >= 0).all()


class TestSessions:
    def test_a_session_ends_before_the_gap_to_the_next(self, part):
        table = part.sessions
        coming = table.groupby("user")["begin"].shift(-1)
        assert (table["last"] == coming.isna()).all()
        assert (table["gap"].isna() == table["last"]).all()
        assert (table["end"] + table["gap"] - coming).abs().max() < 1e-9
        assert (table["gap"].dropna() > 0).all()

    def test_it_lasts_at_least_from_its_first_slate_to_its_last(self, part, world):
        shown = part.log[part.log["session"] >= 0].groupby(["user", "session"])["time"]
        assert (part.sessions["begin"].to_numpy() == shown.min().to_numpy()).all()
        beyond = 1440 * (part.sessions["end"].to_numpy() - shown.max().to_numpy())  # [minutes] of the last slate
        assert beyond.min() > 0
        assert beyond.max() < world.items["minutes"].max() + 1

    def test_a_life_is_censored_or_ends(self, part, world):
        last = part.sessions[part.sessions["last"]]
        assert (last["user"].to_numpy() == USERS).all()
        assert (last["censored"].to_numpy() != part.users["churned"].to_numpy()).all()
        assert not part.sessions[~part.sessions["last"]]["censored"].any()
        assert 0 < last["censored"].sum() < len(last)
        horizon = world.scenario.params.horizon_days
        assert (part.users["days"][~part.users["churned"]] == horizon).all()
        assert (part.users["days"][part.users["churned"]] < horizon).all()


class TestCollect:
    def test_lives_do_not_depend_on_who_else_plays(self, part, world):
        halves = [
            collect(make_env(world, 15), ExploringAgent(world), USERS[s], LUCK) for s in (slice(15), slice(15, None))
        ]
        for name in ("log", "sessions", "users"):
            joined = pd.concat([getattr(half, name) for half in halves], ignore_index=True)
            pd.testing.assert_frame_equal(joined, getattr(part, name))
        assert halves[0].episodes == {}

    def test_luck_and_seed_move_it(self, part, world):
        for policy, luck in ((ExploringAgent(world), LUCK + 1), (ExploringAgent(world, seed=1), LUCK)):
            other = collect(make_env(world, len(USERS)), policy, USERS, luck)
            assert not other.users["minutes"].equals(part.users["minutes"])

    def test_the_policy_sees_nothing_hidden_and_progress_is_told(self, world, item_vectors):
        seen, shares = set(), []

        class Curious(RandomSlate):
            def act(self, observation):
                seen.update(observation)
                return super().act(observation)

        collect(make_env(world, 4, item_vectors), Curious(world), range(4), progress=shares.append)
        assert seen == {*SlateVectorEnv(world).single_observation_space, "candidates"}
        assert shares == sorted(shares)
        assert shares[-1] == 1.0

    def test_empty_slots_are_no_rows(self, world):
        class Two:
            name, privileged = "two", False

            def act(self, observation):
                return np.tile(np.r_[0, 5, 0, 6, np.zeros(6, int)], (len(observation["context"]), 1))

        log = collect(make_env(world, 5), Two(), range(5)).log
        shown = log[log["session"] >= 0]
        assert set(zip(shown["position"], shown["item"], strict=True)) == {(1, 5), (3, 6)}


class TestEpisodes:
    def test_transitions_are_whole(self, part):
        episodes, users = part.episodes, part.users[:KEPT]
        assert episodes["user"].tolist() == USERS[:KEPT].tolist()
        assert episodes["steps"].tolist() == users["slates"].tolist()
        ends = np.cumsum(episodes["steps"])
        assert np.add.reduceat(episodes["rewards"], np.r_[0, ends[:-1]]) == pytest.approx(users["minutes"])
        for name, flag in (("terminations", users["churned"]), ("truncations", ~users["churned"])):
            assert np.flatnonzero(episodes[name]).tolist() == (ends[flag] - 1).tolist()
        slate = episodes["observations/slate_ids"]
        after = np.delete(np.arange(len(slate)), np.r_[0, ends[:-1] + np.arange(1, KEPT)])
        assert np.array_equal(slate[after], episodes["actions"])  # each observation shows the slate before it

    def test_minari_reads_them_back_equal(self, part, world, setting, tmp_path):
        env = make_env(world, 1)
        write_minari(tmp_path / "minari", [part.episodes], env, setting, "random", LUCK)
        dataset = read_minari(tmp_path / "minari")
        assert dataset.env_spec.kwargs["reward"] == "minutes"
        assert gymnasium.spec(setting.env).kwargs == {"base": "video-v1"}  # what is registered stays as it is
        assert [path.name for path in tmp_path.iterdir()] == ["minari"]
        assert dataset.observation_space == env.single_observation_space
        assert dataset.action_space == env.single_action_space
        assert dataset.total_episodes == KEPT
        assert dataset.total_steps == part.episodes["steps"].sum()
        first = 0
        for n, episode in enumerate(dataset):
            last = first + part.episodes["steps"][n]
            for name in ("actions", "rewards", "terminations", "truncations"):
                kept, found = part.episodes[name][first:last], getattr(episode, name)
                assert found.dtype == kept.dtype
                assert np.array_equal(found, kept), name
            assert set(episode.observations) == set(env.single_observation_space)
            for key, found in episode.observations.items():
                assert found.dtype == np.float32
                assert np.array_equal(found, part.episodes[f"observations/{key}"][first + n : last + n + 1]), key
            assert env.single_observation_space.contains({key: v[-1] for key, v in episode.observations.items()})
            assert env.single_action_space.contains(episode.actions[0])
            first = last
        metadata = list(dataset.storage.get_episode_metadata(range(KEPT)))
        assert [(m["seed"], m["options"]["user"]) for m in metadata] == [(LUCK, user) for user in USERS[:KEPT]]

    def test_no_dataset_is_said(self, tmp_path):
        with pytest.raises(
            ValueError, match="has no dataset 'longplay/slates-v0'; collect with --minari-users above 0"
        ):
            read_minari(tmp_path)

    def test_parts_are_kept_and_joined(self, part, tmp_path):
        (tmp_path / "0.tmp").mkdir()  # left by an interruption
        halves = [tmp_path / "0", tmp_path / "1"]
        for folder in halves:
            write_collected(part, folder)
        join_tables(halves, tmp_path)
        for name in ("log", "sessions", "users"):
            table = getattr(part, name)
            joined = pd.read_parquet(tmp_path / f"{name}.parquet")
            pd.testing.assert_frame_equal(joined, pd.concat([table, table], ignore_index=True))
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["0", "1", "log.parquet", "sessions.parquet", "users.parquet"]
        )
        again = read_episodes(tmp_path / "1")
        assert set(again) == set(part.episodes)
        assert all(np.array_equal(again[key], part.episodes[key]) for key in again)
        write_collected(dataclasses.replace(part, episodes={}), tmp_path / "2")
        assert read_episodes(tmp_path / "2") == {}


class TestProfiles:
    def test_favourites_of_sign_up_are_told(self, world):
        users = np.array([5, 9])
        for user, text in zip(users, describe_profiles(world, users), strict=True):
            named = [world.topic_names[g].lower() for g in np.flatnonzero(world.people["profile"][user])]
            assert text == f"Likes {named[0]}, {named[1]} and {named[2]}."

    def test_topics_without_names_are_not(self, world):
        nameless = dataclasses.replace(world, topic_names=("",) * len(world.topic_names))
        assert describe_profiles(nameless, np.array([1])) == [NO_PROFILE]

    def test_topics_found_in_texts_have_telling_words(self, catalog):
        bare = dataclasses.replace(catalog, topics=((),) * len(catalog))
        world = build_world(bare, small())
        labels = label_topics(world)
        main = world.topics[1:].argmax(axis=1)
        for g in np.flatnonzero(np.bincount(main, minlength=len(labels)) >= 10):
            for word in labels[g].split():
                has = np.array([word in text.lower() for text in bare.texts])
                assert has[main == g].mean() > 2 * has[main != g].mean()
        assert all(len(label.split()) == 3 for label, name in zip(labels, world.topic_names, strict=True) if name)
        assert "topic" not in " ".join(describe_profiles(world, np.arange(20)))


class TestItems:
    def test_drawn_items_are_the_catalogues(self, catalog):
        drawn = draw_items(catalog, 50, seed=1)
        row = {item: n for n, item in enumerate(catalog.ids)}
        where = [row[item] for item in drawn.ids]
        assert where == sorted(where)
        assert len(set(where)) == 50
        for name in ("texts", "topics"):
            assert getattr(drawn, name) == tuple(getattr(catalog, name)[i] for i in where)
        assert np.array_equal(np.argsort(drawn.popularity), np.argsort(catalog.popularity[where]))
        assert drawn.popularity.mean() == pytest.approx(0.5)
        assert draw_items(catalog, 50, seed=1).digest == drawn.digest
        assert draw_items(catalog, 50, seed=2).digest != drawn.digest

    @pytest.mark.parametrize("labelled", [True, False])
    def test_their_table_reads_back_equal(self, catalog, tmp_path, labelled):
        """Also where some ratings are unknown, which stand at 0.5 in the whole catalogue."""
        rating = np.where(np.arange(len(catalog)) % 3 == 0, 0.5, catalog.rating)
        topics = catalog.topics if labelled else ((),) * len(catalog)
        price = np.linspace(1, 9, len(catalog))
        drawn = draw_items(dataclasses.replace(catalog, rating=rating, topics=topics, price=price), 80, seed=0)
        tabulate_items(drawn).to_parquet(tmp_path / "items.parquet")
        again = Catalog.from_table(tmp_path / "items.parquet")
        assert again.digest == drawn.digest
        np.testing.assert_array_equal(again.price, drawn.price)
        assert draw_items(again, 80, seed=5).digest == drawn.digest

    @pytest.mark.parametrize("count", [1, 301, -4])
    def test_too_few_or_many_are_refused(self, catalog, count):
        with pytest.raises(ValueError, match=f"items = {count} is out of range; catalogue 'small' allows 2 to 300"):
            draw_items(catalog, count, seed=0)
