"""A comparison on a small world: what takes part, the summary, the report."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from longplay.agents.base import Agent
from longplay.agents.comparison import contestants as compare
from longplay.agents.comparison.contestants import (
    Contestant,
    describe_slates,
    load_learned,
    make_references,
    play_contestants,
    tune_rules,
)
from longplay.agents.comparison.report import _cell, find_retention_band, write_report, write_retention
from longplay.agents.comparison.summary import flatten_summary, read_minutes, summarise
from longplay.agents.playing.evaluate import Evaluator, held_out_users
from longplay.agents.rules.context import RuleModels
from longplay.agents.rules.tuning import tune
from longplay.agents.runs.progress import count_slates
from longplay.agents.runs.training import train
from longplay.agents.stats import Interval, bootstrap_difference
from longplay.scripts.compare import make_tables
from longplay.tests.agents.small import tiny_run

RULES = (
    "random",
    "random candidates",
    "popularity",
    "greedy similarity",
    "softmax",
    "greedy minutes",
    "MMR",
    "DPP",
    "static cap",
    "round robin",
    "fatigue-aware",
)


@pytest.fixture(scope="module")
def runs(setting, tmp_path_factory):
    """Two seeds of PPO and one of its γ = 0 twin."""
    root = tmp_path_factory.mktemp("runs")
    for name, changes in (("a", {}), ("b", {"seed": 1}), ("myopic", {"gamma": 0.0})):
        train(tiny_run(setting, steps=128, evals=1, **changes), root / name, False, lambda row: None)
    return root


@pytest.fixture(scope="module")
def contestants(setting, runs):
    before = compare.LOGGED_STEPS
    compare.LOGGED_STEPS = 4  # of 256 users
    try:
        ruled = tune_rules(setting, 6, lambda what: None, trials=3)
    finally:
        compare.LOGGED_STEPS = before
    return [*ruled, *load_learned(setting, [runs / "a", runs / "b", runs / "myopic"]), *make_references(setting)]


@pytest.fixture(scope="module")
def results(setting, contestants):
    return play_contestants(setting, contestants, 12, lambda name, share: None)


@pytest.fixture(scope="module")
def frame(results, contestants):
    return summarise(results, contestants)


def edited(folder, target, **changes):
    """A copy of a run whose configuration says something else."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    content = json.loads((target / "config.json").read_text())
    setting = {**content["setting"], **changes.pop("setting", {})}
    (target / "config.json").write_text(json.dumps({**content, **changes, "setting": setting}))
    return target


def render(table):
    """As on a terminal of 80 columns."""
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def full_disk(path, content):
    """In place of `Path.write_bytes`."""
    with path.open("wb") as file:
        file.write(content[:20])
    raise OSError("no space left")


class TestLearned:
    def test_seeds_of_a_method_are_one_contestant_and_its_twin_is_found(self, contestants):
        found = {c.name: c for c in contestants if c.kind == "learned"}
        ahead, myopic = "PPO weights γ=0.95", "PPO weights γ=0"
        assert set(found) == {ahead, myopic}
        assert [len(found[name].agents) for name in (ahead, myopic)] == [2, 1]
        assert found[ahead].twin == myopic
        assert found[myopic].twin == ""
        assert found[ahead].note.startswith("2 seeds, 128")
        assert found[myopic].note.startswith("1 seed, 128")

    def test_slates_spent_are_told_beside_those_asked_for(self, setting, tmp_path):
        """Rounds are whole: PPO here learns from 8 users × 16 slates at a time."""
        train(tiny_run(setting, steps=130, evals=1), tmp_path / "more", False, lambda row: None)
        (found,) = load_learned(setting, [tmp_path / "more"])
        assert found.note == "1 seed, 256 slates (130 asked for)"
        assert (found.about["slates_spent"], found.about["slates_asked_for"]) == ([256], 130)
        assert count_slates(tmp_path / "more") == 256
        (tmp_path / "more" / "finished.json").unlink()  # interrupted: as far as the curve goes
        assert count_slates(tmp_path / "more") == 256

    def test_slates_in_words(self):
        assert describe_slates([300_000] * 2, 300_000) == "300,000 slates"
        assert describe_slates([12_288], 6000) == "12,288 slates (6,000 asked for)"
        assert describe_slates([100, 120], 100) == "100 to 120 slates (100 asked for)"

    def test_seeds_are_those_of_the_trainings_in_whatever_order_they_are_named(self, setting, runs, results):
        (turned,) = load_learned(setting, [runs / "b", runs / "a"])
        assert list(turned.seeds) == [0, 1]
        again = play_contestants(setting, [turned], 12, lambda *_: None)
        np.testing.assert_array_equal(read_minutes(again, turned.name), read_minutes(results, turned.name))

    def test_without_its_twin_a_method_has_none(self, setting, runs):
        (alone,) = load_learned(setting, [runs / "a"])
        assert alone.twin == ""

    def test_agents_are_the_policies_of_the_folders_in_order(self, setting, runs, states):
        (both,) = load_learned(setting, [runs / "a", runs / "b"])
        (second,) = load_learned(setting, [runs / "b"])
        state = both.agents[0].encoder(states[0])
        actions = [agent.model.predict(state, deterministic=True)[0] for agent in (*both.agents, *second.agents)]
        np.testing.assert_array_equal(actions[1], actions[2])
        assert (actions[0] != actions[1]).any()

    @pytest.mark.parametrize(
        "changes", [{"env": "longplay/Control-v0"}, {"world_seed": 1}, {"scenario": "x.toml"}, {"bert": "other"}]
    )
    def test_another_setting_is_refused(self, setting, runs, tmp_path, changes):
        folder = edited(runs / "a", tmp_path / "a", setting=changes)
        with pytest.raises(ValueError, match=r"was trained on longplay.*compare like with like"):
            load_learned(setting, [runs / "b", folder])

    @pytest.mark.parametrize("changes", [{"steps": 500}, {"learning_rate": 0.1}, {"num_envs": 16}])
    def test_runs_that_differ_in_more_than_the_seed_are_no_method(self, setting, runs, tmp_path, changes):
        (field,) = changes
        folder = edited(runs / "b", tmp_path / "b", seed=0, **changes)
        with pytest.raises(ValueError, match=rf"differ in {field}; .* only the seed may differ"):
            load_learned(setting, [runs / "a", folder])

    def test_a_seed_counts_once(self, setting, runs):
        with pytest.raises(ValueError, match=r"both seed 0 of .*; give each seed once"):
            load_learned(setting, [runs / "a", runs / "b", runs / "a"])

    def test_a_twin_of_another_budget_is_none(self, setting, runs, tmp_path):
        folder = edited(runs / "myopic", tmp_path / "myopic", steps=500)
        assert [c.twin for c in load_learned(setting, [runs / "a", folder])] == ["", ""]

    def test_a_folder_without_a_run_is_named(self, setting, tmp_path):
        with pytest.raises(ValueError, match=r"config\.json does not exist; name a folder that scripts/train"):
            load_learned(setting, [tmp_path])

    @pytest.mark.parametrize("content", ["{", "[]", '{"setting": {"color": 1}}', '{"seed": 1}'])
    def test_a_broken_configuration_is_named(self, setting, tmp_path, content):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=r"config\.json is not a run's configuration"):
            load_learned(setting, [tmp_path])


class TestRules:
    def test_every_rule_takes_part(self, contestants):
        assert {c.name for c in contestants if c.kind == "rule"} == set(RULES)
        assert [c.name for c in contestants if c.kind == "reference"] == [
            "items oracle",
            "myopic oracle",
            "taste oracle",
        ]
        for contestant in contestants:
            for agent in contestant.agents:
                assert isinstance(agent, Agent)
                assert agent.privileged == (contestant.kind == "reference" and contestant.name != "items oracle")

    def test_parameters_chosen_are_said(self, contestants):
        notes = {c.name: c.note for c in contestants}
        assert re.fullmatch(r"λ = [01](\.\d+)?", notes["MMR"])
        assert re.fullmatch(r"at most \d+ per topic on (similarity|predicted minutes)", notes["static cap"])
        assert notes["greedy similarity"] == "BERT cosine to the pooled history"

    def test_parameters_chosen_are_the_best_on_validation_users(self, setting, contestants):
        users = held_out_users(setting.world, "validation", 6)
        evaluator = Evaluator(setting.world, setting.item_vectors, users, compare.VALIDATION_LUCK)
        (mmr,) = next(c.agents for c in contestants if c.name == "MMR")
        tuned = tune("mmr", RuleModels(setting), evaluator, trials=3)
        values = {t: evaluator.mean_minutes(dataclasses.replace(mmr, trade_off=t)) for t in tuned.trials["trade_off"]}
        assert len(set(values.values())) > 1
        assert values[mmr.trade_off] == max(values.values())

    def test_rules_asked_for_take_part_and_a_folder_keeps_them(self, setting, tmp_path):
        said = []
        first = tune_rules(setting, 4, said.append, names=("als", "popularity", "mmr"), trials=2, folder=tmp_path)
        assert [c.name for c in first] == ["matrix factorisation", "popularity", "MMR"]
        assert {path.name for path in tmp_path.iterdir()} == {"als", "popularity", "mmr"}
        assert any("trial 2" in what for what in said)
        said.clear()
        again = tune_rules(setting, 4, said.append, names=("als", "popularity", "mmr"), trials=2, folder=tmp_path)
        assert not said
        assert [c.note for c in again] == [c.note for c in first]

    def test_an_unknown_rule_is_refused(self, setting):
        with pytest.raises(ValueError, match=r"names = 'mnr' is unknown \(did you mean 'mmr'\?\)"):
            tune_rules(setting, 4, lambda what: None, names=("mnr",))

    def test_a_rule_that_the_world_does_not_offer_is_refused(self, setting):
        with pytest.raises(
            ValueError, match="names = 'longest' shows nothing twice in a session, but scenario 'video'"
        ):
            tune_rules(setting, 4, lambda what: None, names=("popularity", "longest"))

    def test_more_take_part_where_it_is_known_what_was_shown(self, remembering_setting, monkeypatch, tmp_path):
        monkeypatch.setattr(compare, "LOGGED_STEPS", 2)
        found = tune_rules(remembering_setting, 4, lambda what: None, trials=2, folder=tmp_path)
        more = {"greedy similarity, fresh", "greedy minutes + rating", "longest"}
        assert {c.name for c in found} == {*RULES, *more}
        notes, options = {c.name: c.note for c in found}, {c.name: c.about["options"] for c in found}
        assert notes["greedy similarity"] == "BERT cosine to the pooled history"
        assert notes["greedy similarity, fresh"] == "BERT cosine to the pooled history, fresh"
        assert notes["longest"] == "fresh"
        assert all("fresh" not in options[name] for name in (*more, "greedy similarity", "random"))
        for name in set(RULES) - {"greedy similarity", "random"}:
            assert notes[name].endswith("fresh") == options[name]["fresh"]
        again = tune_rules(remembering_setting, 4, lambda what: None, trials=2, folder=tmp_path)
        assert [(c.name, c.note) for c in again] == [(c.name, c.note) for c in found]

    def test_test_users_and_their_luck_are_not_those_of_validation(self):
        assert compare.TEST_LUCK != compare.VALIDATION_LUCK


class TestPlay:
    def test_one_row_a_policy_seed_and_user(self, results, contestants, setting):
        assert len(results) == sum(len(c.agents) for c in contestants) * 12
        assert not results.duplicated(["policy", "seed", "user"]).any()
        assert set(results["user"]) == set(range(180, 192))
        assert set(results["user"]) <= set(setting.world.split("test"))

    def test_progress_names_every_policy(self, setting, contestants):
        seen = []
        some = [c for c in contestants if c.name in ("popularity", "greedy similarity")]
        play_contestants(setting, some, 2, lambda name, share: seen.append((name, share)))
        assert [name for name, share in seen if share == 1.0] == [c.name for c in some]
        assert {name for name, _ in seen} == {c.name for c in some}

    def test_threads_change_no_result(self, setting, results, contestants):
        """All kinds: rules, trained policies and references that read the hidden state."""
        together = play_contestants(setting, contestants, 12, lambda name, share: None, workers=3)
        pd.testing.assert_frame_equal(together, results, check_exact=True)

    def test_an_error_of_one_thread_is_that_of_all(self, setting, contestants):
        wrong = Contestant("wrong", "rule", [lambda observation: None])
        with pytest.raises(ValueError, match="slate 0 of a life"):
            play_contestants(setting, [*contestants, wrong], 12, lambda name, share: None, workers=2)

    def test_the_sealed_half_is_played_when_it_is_asked_for(self, remembering_setting, tmp_path):
        mine = [Contestant("mine", "rule", [lambda observation: observation["candidates"][:, :10]])]
        for sealed, first in ((False, 180), (True, 190)):
            played = play_contestants(remembering_setting, mine, 4, lambda *_: None, sealed)
            assert set(played["user"]) == set(range(first, first + 4))
            page = write_report(tmp_path, summarise(played, mine), played, [], {"sealed": sealed}).read_text("utf-8")
            assert ("4 sealed test users" if sealed else "4 test users") in page

    def test_minutes_are_seeds_by_users(self, results):
        both = read_minutes(results, "PPO weights γ=0.95")
        assert both.shape == (2, 12)
        row = results[(results["policy"] == "PPO weights γ=0.95") & (results["seed"] == 1) & (results["user"] == 185)]
        assert both[1, 5] == row["minutes"].item()


class TestSummary:
    def test_one_row_a_policy_by_kind_then_minutes(self, frame, contestants):
        assert set(frame["policy"]) == {c.name for c in contestants}
        assert len(frame) == len(contestants)
        assert list(frame["kind"]) == ["rule"] * len(RULES) + ["learned"] * 2 + ["reference"] * 3
        for _, rows in frame.groupby("kind"):
            assert rows["minutes"].is_monotonic_increasing

    def test_best_rule_is_the_rule_of_most_minutes(self, frame):
        ruled = frame[frame["kind"] == "rule"]
        assert frame.attrs["best rule"] == ruled.loc[ruled["minutes"].idxmax(), "policy"]

    def test_columns_are_means_over_users_and_seeds(self, frame, results):
        for row in frame.to_dict("records"):
            own = results[results["policy"] == row["policy"]]
            assert row["minutes"] == pytest.approx(own["minutes"].mean())
            assert row["interval"].mean == pytest.approx(own["minutes"].mean())
            assert row["click rate"] == pytest.approx(own["clicks"].sum() / own["slates"].sum())
            assert row["kept"] == pytest.approx((~own["churned"]).mean())
            for column in ("sessions", "diversity", "satiation", "repeated"):
                assert row[column] == pytest.approx(own[column].mean())
            assert row["coverage"] == pytest.approx(own.drop_duplicates("seed")["coverage"].mean())

    def test_differences_are_paired_and_against_whom_they_say(self, frame, results):
        rows = frame.set_index("policy")
        for name in rows.index:
            own = read_minutes(results, name)
            for column, other in (("vs similarity", "greedy similarity"), ("vs best rule", frame.attrs["best rule"])):
                if name == other:
                    assert rows.loc[name, column] is None
                else:
                    once = name == "PPO weights γ=0"
                    gap = bootstrap_difference(own, read_minutes(results, other), trained_once=once)
                    assert rows.loc[name, column] == gap
                    assert gap.label == ("users only" if once else "")

    def test_only_who_has_a_twin_is_compared_with_it(self, frame, results):
        twins = frame.set_index("policy")["vs γ=0 twin"]
        sides = (read_minutes(results, name) for name in ("PPO weights γ=0.95", "PPO weights γ=0"))
        expected = bootstrap_difference(*sides, trained_once=True)
        assert twins["PPO weights γ=0.95"] == expected
        assert twins.drop("PPO weights γ=0.95").isna().all()

    def test_twins_are_compared_seed_by_seed(self, contestants, results):
        """Seeds that lie far from one another say nothing against a gain that each of them shows."""
        ahead, now = "PPO weights γ=0.95", "PPO weights γ=0"
        rows = results[results["policy"] == ahead]
        rows = rows.assign(minutes=rows["minutes"] + 1000.0 * rows["seed"])
        others = results[~results["policy"].isin([ahead, now])]
        whole = pd.concat([others, rows, rows.assign(policy=now, minutes=rows["minutes"] - 1.0)])
        found = summarise(whole, contestants).set_index("policy").loc[ahead, "vs γ=0 twin"]
        assert (found.low, found.high) == pytest.approx((1.0, 1.0))

    def test_equal_agents_under_two_names_differ_by_exactly_nothing(self, setting, contestants):
        similarity = next(c for c in contestants if c.name == "greedy similarity")
        again = dataclasses.replace(similarity, name="again")
        frame = summarise(play_contestants(setting, [similarity, again], 12, lambda *_: None), [similarity, again])
        assert frame.set_index("policy").loc["again", "vs similarity"] == Interval(0.0, 0.0, 0.0)

    def test_one_agent_alone_gives_a_table(self, setting, contestants, results):
        for alone in contestants:
            own = results[results["policy"] == alone.name]
            frame = summarise(own, [alone])
            assert list(frame["policy"]) == [alone.name]
            assert frame["minutes"].item() == pytest.approx(own["minutes"].mean())
            assert frame.attrs["best rule"] == (alone.name if alone.kind == "rule" else "")
            for column in ("vs similarity", "vs best rule", "vs γ=0 twin", "vs taste oracle"):
                assert frame[column].isna().all()
            assert [table.row_count for table in make_tables(frame, "12 test users", 6.0)] == [1, 1]

    def test_a_function_takes_part_without_rules_beside_it(self, setting, tmp_path):
        mine = Contestant("mine", "rule", [lambda observation: observation["candidates"][:, :10]])
        played = play_contestants(setting, [mine, *make_references(setting)], 6, lambda *_: None)
        frame = summarise(played, [mine, *make_references(setting)])
        assert frame.attrs["best rule"] == "mine"
        assert frame["vs similarity"].isna().all()
        assert frame["vs best rule"].notna().sum() == 3
        text = render(make_tables(frame, "6 test users", 6.0)[0])
        assert "− similarity" not in text
        assert "− best rule" in text
        assert "Best rule: mine." in write_report(tmp_path, frame, played, [], {}).read_text(encoding="utf-8")

    def test_the_page_explains_the_columns_of_some_worlds_where_they_are(self, frame, results, tmp_path):
        """And no word of it is a name between braces that was to be filled in."""
        page = write_report(tmp_path, frame, results, [], {}).read_text(encoding="utf-8")
        more = frame.assign(**{"at first taste": 1.0, "turned": 20.0, "conversion": 0.02, "sales": 3.0})
        more.attrs = frame.attrs
        full = write_report(tmp_path, more, results, [], {}).read_text(encoding="utf-8")
        for word in ("“At first taste” are", "“turned” is", "“Conversion” is", "“sales” is"):
            assert word not in page
            assert word in full
        for text in (page, full):
            prose = re.sub(r"<style>.*?</style>|<pre>.*?</pre>|src='[^']*'", "", text, flags=re.DOTALL)
            assert "{" not in prose

    def test_references_alone_make_a_report_without_a_best_rule(self, setting, tmp_path):
        played = play_contestants(setting, make_references(setting), 4, lambda *_: None)
        frame = summarise(played, make_references(setting))
        assert "Best rule: none took part." in write_report(tmp_path, frame, played, [], {}).read_text(encoding="utf-8")
        assert "none took part" in render(make_tables(frame, "4 test users", 6.0)[1])

    def test_the_terminal_marks_who_was_trained_once_and_says_why(self, frame):
        minutes, habits = map(render, make_tables(frame, "12 test users", 6.0))
        (once,) = [line for line in minutes.splitlines() if line.startswith("PPO weights γ=0 ")]
        assert once.count("]*") == 2
        (twice,) = [line for line in minutes.splitlines() if line.startswith("PPO weights γ=0.95")]
        assert twice.count("]*") == 1  # against its twin, which was trained once
        assert "* users only: a method was trained once" in " ".join(minutes.split())
        assert "PPO weights γ=0 learnt from 1 seed, 128 slates" in habits

    def test_flat_is_numbers_by_policy_and_column(self, frame):
        values = flatten_summary(frame)
        row = frame.set_index("policy").loc["popularity"]
        assert values["popularity/minutes"] == row["minutes"]
        assert values["popularity/vs similarity"] == row["vs similarity"].mean
        assert values["popularity/vs similarity low"] == row["vs similarity"].low
        assert values["popularity/vs similarity high"] == row["vs similarity"].high
        assert "greedy similarity/vs similarity" not in values
        assert all(isinstance(value, float) for value in values.values())


class TestReport:
    @pytest.fixture(scope="class")
    @staticmethod
    def page(frame, results, runs, tmp_path_factory):
        folder = tmp_path_factory.mktemp("report")
        config = {"name": "<first> & only", "users": 12}
        path = write_report(folder, frame, results, [runs / "a", runs / "b", runs / "myopic"], config)
        assert path == folder / "report.html"
        return path.read_text(encoding="utf-8")

    def test_page_opens_without_a_network(self, page):
        assert not re.search(r"https?://|//cdn|@import|url\(", page)
        sources = re.findall(r"src\s*=\s*['\"]?([^'\"\s>]{0,30})", page)
        assert len(sources) == 3
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        assert not re.search(r"<(link|script|iframe)\b", page)
        assert not re.search(r"href\s*=", page)

    def test_page_names_every_policy_and_the_best_rule(self, page, frame):
        for name in frame["policy"]:
            assert f"<td>{name}</td>" in page
        assert f"Best rule: {frame.attrs['best rule']}." in page
        assert page.count("<tr class=learned>") == 2

    def test_page_shows_the_numbers_of_the_summary(self, page, frame):
        for row in frame.to_dict("records"):
            assert f"<td>{row['minutes']:.1f}</td>" in page
            if row["vs best rule"] is not None:
                gain = row["vs best rule"]
                bold = gain.excludes_zero and row["policy"] != "PPO weights γ=0"  # trained once
                assert (f"<td><b>{gain}</b></td>" if bold else f"<td>{gain}</td>") in page

    def test_a_method_trained_once_is_said_to_be_and_never_bold(self, page, frame):
        (row,) = frame[frame["policy"] == "PPO weights γ=0"].to_dict("records")
        assert str(row["vs similarity"]).endswith("] users only")
        assert "“users only” stands where a method was trained once, so there are no seeds to resample" in page
        assert not re.search(r"<b>[^<]*users only", page)
        assert _cell("x", Interval(5.0, 4.0, 6.0, "users only")) == "+5.0 [+4.0, +6.0] users only"
        assert _cell("x", Interval(5.0, 4.0, 6.0)).startswith("<b>")

    def test_what_the_user_wrote_is_escaped(self, page):
        assert "name = &lt;first&gt; &amp; only" in page
        assert "<first>" not in page

    def test_without_trained_runs_there_is_no_learning_curve(self, frame, results, tmp_path):
        page = write_report(tmp_path, frame, results, [], {}).read_text(encoding="utf-8")
        assert page.count("<img") == 2
        assert "Learning curves" not in page

    def test_a_failing_writer_leaves_the_old_page(self, frame, results, tmp_path, monkeypatch):
        (tmp_path / "report.html").write_text("old")

        monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
        with pytest.raises(OSError, match="no space left"):
            write_report(tmp_path, frame, results, [], {})
        assert (tmp_path / "report.html").read_text() == "old"

    def test_a_failing_writer_leaves_the_old_picture(self, results, tmp_path, monkeypatch):
        path = write_retention(results, tmp_path / "retention.png")
        before = path.read_bytes()

        monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
        with pytest.raises(OSError, match="no space left"):
            write_retention(results, path)
        assert path.read_bytes() == before

    def test_a_user_counts_once_in_the_retention_band_however_many_seeds(self):
        rng, users = np.random.default_rng(3), 400
        one = pd.DataFrame({"user": np.arange(users), "days": rng.uniform(0, 60, users)})
        one["churned"] = one["days"] < 30
        one["days"] = one["days"].clip(upper=30)
        grid = np.array([0.0, 15.0, 29.0])
        band = find_retention_band(one, grid)
        np.testing.assert_allclose(find_retention_band(pd.concat([one] * 5), grid), band)
        share = (one["days"].to_numpy() > grid[:, None]).mean(axis=1)
        half = 1.96 * np.sqrt(share * (1 - share) / users)
        np.testing.assert_allclose(band, [share - half, share + half], atol=0.006)

    def test_retention_picture_is_a_png(self, results, tmp_path):
        path = write_retention(results, tmp_path / "retention.png")
        assert path.read_bytes().startswith(b"\x89PNG\r\n")

    def test_results_with_everybody_gone_still_make_a_picture(self, results, tmp_path):
        gone = results.assign(churned=True)
        assert write_retention(gone, tmp_path / "retention.png").stat().st_size > 1000


def test_contestants_differ_by_name_in_the_table(contestants):
    assert len({c.name for c in contestants}) == len(contestants)
    assert isinstance(contestants[0], Contestant)


def test_results_survive_parquet(results, tmp_path):
    results.to_parquet(tmp_path / "results.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "results.parquet"), results, check_dtype=False)
