import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from longplay.encoders import EncoderError, Items
from longplay.encoders.histories.frozen import PooledHistory
from longplay.encoders.measures.cross_validation import cross_validate
from longplay.encoders.measures.evaluation import evaluate, find_validation_cases
from longplay.encoders.networks.split_bert import SplitBert, read_item_states
from longplay.encoders.networks.tower import Tower, TowerOptions
from longplay.encoders.networks.tower_network import Pairs, find_nearest
from longplay.encoders.registry import ENCODERS
from longplay.encoders.text.encoder import TextEncoder
from longplay.encoders.text.model_folder import ModelError
from longplay.tests.encoders.contracts import EncoderContract
from longplay.tests.encoders.small import make_items, make_log
from longplay.tests.encoders.text.tiny_bert import tiny_bert

QUICK = {"width": 16, "epochs": 4, "batch_size": 64, "learning_rate": 1e-2}
TUNED = {**QUICK, "trained_layers": 1, "tokens": 24, "tuning_epochs": 2, "tuning_batch": 128, "run_items": 12}


def tiny(**changes):
    """Settings on the tiny BERT."""
    return TowerOptions(**{**TUNED, "model": str(tiny_bert()[0]), "tuning_rate": 1e-3, **changes})


class TestHeads(EncoderContract):
    encoder = Tower
    options = TowerOptions(trained_layers=0, popularity_bias=True, **QUICK)


class TestTuned(EncoderContract):
    encoder = Tower

    @classmethod
    def make(cls):
        return Tower(make_items(cls.items), tiny())


class TestText(EncoderContract):
    encoder = Tower

    @classmethod
    def make(cls):
        return Tower(make_items(cls.items), tiny(user="text", tokens=64, words=5, told=3, tuning_epochs=1))


class TestBinary(EncoderContract):
    encoder = Tower
    options = TowerOptions(trained_layers=0, loss="binary", **{**QUICK, "epochs": 8})


def batch_of(pairs, rows):
    return {name: value.numpy() for name, value in pairs.collate(rows).items()}


def rows_of(log):
    return np.flatnonzero(log.consumed)


def test_a_batch_blocks_what_the_user_also_consumed_and_no_target():
    log, vectors = make_log(), make_items().vectors
    rows = rows_of(log)
    batch = batch_of(Pairs(log, rows, 20, vectors, 0, seed=0), list(range(0, 60, 3)))
    for b, row in enumerate(rows[:60:3]):
        consumed = set(log.item[(log.user == log.user[row]) & log.consumed])
        for column, item in enumerate(batch["columns"]):
            own = column == batch["target"][b]
            assert own == (item == log.item[row])
            assert batch["blocked"][b, column] == (item in consumed and not own)


def test_a_batch_names_each_item_once_and_corrects_by_how_often_it_is_drawn():
    log = make_log()
    rows = rows_of(log)
    batch = batch_of(Pairs(log, rows, 20, make_items().vectors, 0, seed=0), list(range(200)))
    assert len(np.unique(batch["columns"])) == len(batch["columns"])
    share = np.array([(log.item[rows] == item).mean() for item in batch["columns"]])
    np.testing.assert_allclose(batch["correction"], -np.log(share), rtol=1e-5)


def test_histories_of_a_batch_hold_nothing_of_the_target_or_later():
    log = make_log()
    rows = rows_of(log)
    batch = batch_of(Pairs(log, rows, 20, make_items().vectors, 0, seed=0), list(range(len(rows))))
    for b, row in enumerate(rows):
        before = log.item[(log.user == log.user[row]) & log.consumed & (log.time < log.time[row])]
        ids = batch["history_ids"][b]
        np.testing.assert_array_equal(ids[ids > 0], before[::-1][:20])


def test_hard_negatives_are_items_shown_and_not_opened():
    log = make_log()
    rows = rows_of(log)
    pairs = Pairs(log, rows, 20, make_items().vectors, 3, seed=0)
    some = [int(np.flatnonzero(log.user[rows] == user)[0]) for user in range(10)]
    for place in some:
        user = log.user[rows[place]]
        ignored = set(log.item[(log.user == user) & ~log.consumed]) or {log.item[rows[place]]}
        assert set(batch_of(pairs, [place])["columns"]) <= ignored | {log.item[rows[place]]}


def test_hard_negatives_without_impressions_are_near_neighbours():
    items, log = make_items(120), make_log(items=120)
    log = log.take(log.consumed)
    pairs = Pairs(log, np.arange(len(log)), 20, items.vectors, 2, seed=0)
    for place in range(0, len(log), 50):
        near = set(find_nearest(items.vectors, 50)[log.item[place] - 1])
        assert set(batch_of(pairs, [place])["columns"]) - {log.item[place]} <= near


def test_nearest_are_those_of_highest_inner_product_without_itself():
    vectors = make_items(40).vectors
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    expected = 1 + np.argsort(-scores, axis=1)[:, :5]
    np.testing.assert_array_equal(np.sort(find_nearest(vectors, 5)), np.sort(expected))


def test_split_in_two_bert_gives_the_vectors_of_the_whole():
    folder = tiny_bert()[0]
    texts = make_items().texts
    for trained in (0, 1, 2):
        np.testing.assert_allclose(
            SplitBert(str(folder), trained, 24).encode_uncached(texts),
            TextEncoder(folder, cache=None).encode(list(texts)),
            atol=2e-3,  # states between the parts are float16
        )


def test_tuning_changes_bert_and_items_that_no_log_names():
    log = make_log(items=30)
    log = log.take(log.item != 5)
    towers = [Tower(make_items(), tiny(tuning_rate=rate)).fit(log, seed=0) for rate in (1e-8, 3e-3)]
    still, moved = (SplitBert(str(tiny_bert()[0]), 1, 24) for _ in range(2))
    assert still.identity == moved.identity
    unit = [tower.item_vectors[5] / np.linalg.norm(tower.item_vectors[5]) for tower in towers]
    assert unit[0] @ unit[1] < 0.999


def test_better_weights_on_validation_stay():
    log, later = make_log(), make_log(seed=1, start=10.0)
    cases = find_validation_cases(log, later, 20)
    seen = []
    tower = Tower(make_items(), tiny(tuning_rate=1.0))  # breaks what the heads had learnt
    tower.fit(log, later, report=lambda row: seen.append(row["score"]) if "score" in row else None)
    assert evaluate(tower, cases)["recall"].mean() == pytest.approx(max(seen), abs=1e-9)


def test_it_beats_the_frozen_encoder_where_the_texts_say_little():
    items = make_items()
    noisy = Items(items.texts, np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32), items.minutes)
    log, later = make_log(), make_log(seed=1, start=10.0)
    cases = find_validation_cases(log, later, 20)
    tower = Tower(noisy, TowerOptions(trained_layers=0, **QUICK)).fit(log, later)
    assert evaluate(tower, cases)["auc"].mean() > evaluate(PooledHistory(noisy), cases)["auc"].mean() + 0.1


def test_popularity_bias_is_the_last_dimension_and_ranks_what_is_alike():
    log = make_log(items=30)
    popular = np.bincount(log.item[log.consumed], minlength=31)
    items = make_items()
    alike = Items(items.texts, np.ones((30, 4), np.float32), items.minutes)
    tower = Tower(alike, TowerOptions(trained_layers=0, popularity_bias=True, **{**QUICK, "epochs": 20})).fit(log)
    assert tower.width == 17
    histories = log.histories(np.arange(5), 100.0)
    np.testing.assert_array_equal(tower.encode(histories)[:, -1], 1.0)
    assert np.corrcoef(tower.score(histories)[0, 1:], np.log1p(popular[1:]))[0, 1] > 0.99


def test_cosines_are_the_scores_over_the_scale():
    tower = Tower(make_items(), TowerOptions(trained_layers=0, **QUICK)).fit(make_log())
    lengths = np.linalg.norm(tower.item_vectors[1:], axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(tower.encode(make_log().histories([0, 1], 5.0)), axis=1), 1.0, rtol=1e-5)


def test_binary_scores_are_log_odds_of_being_liked():
    log = make_log(users=90)
    tower = Tower(make_items(), replace(TestBinary.options, negatives=1e6)).fit(log)
    rows = np.flatnonzero(log.time > 5.0)
    scores = tower.score(log.histories(log.user[rows], log.time[rows]))[np.arange(len(rows)), log.item[rows]]
    chance = 1.0 / (1.0 + np.exp(-scores))
    assert chance.mean() == pytest.approx(log.liked[rows].mean(), abs=0.1)
    assert chance[log.liked[rows]].mean() > chance[~log.liked[rows]].mean() + 0.3


def test_interrupted_it_goes_on_to_the_same_bits(tmp_path):
    log, later = make_log(), make_log(seed=1, start=10.0)
    whole = Tower(make_items(), tiny()).fit(log, later, seed=2)

    def stop(row):
        if row["steps"] < 20 and row["step"] == 10:  # in the second epoch of BERT, of 7 steps each
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tower(make_items(), tiny()).fit(log, later, seed=2, folder=tmp_path, report=stop)
    again = Tower(make_items(), tiny()).fit(log, later, seed=2, folder=tmp_path)
    np.testing.assert_array_equal(again.item_vectors, whole.item_vectors)


def test_it_draws_from_no_generator_of_the_callers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Tower(make_items(), tiny(epochs=1, tuning_epochs=1)).fit(make_log())
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


@pytest.mark.parametrize("user", ["text", "pooled"])
def test_another_bert_is_refused_on_loading_where_users_are_read_by_it(user, tmp_path):
    folder = shutil.copytree(tiny_bert()[0], tmp_path / "bert")
    tower = Tower(make_items(), tiny(model=str(folder), user=user, tokens=64, epochs=1, tuning_epochs=1))
    tower.fit(make_log()).save(tmp_path / "tower")
    histories = make_log().histories(np.arange(5), 5.0)
    again = Tower.load(tmp_path / "tower", tower.items)
    np.testing.assert_array_equal(again.encode(histories), tower.encode(histories))
    file = folder / "model.safetensors"
    save_file({name: weight + np.float32(0.01) for name, weight in load_file(file).items()}, file)
    if user == "text":
        with pytest.raises(EncoderError, match="its bert is"):
            Tower.load(tmp_path / "tower", tower.items)
    else:
        assert Tower.load(tmp_path / "tower", tower.items).width == tower.width


def test_the_bert_is_that_of_the_items_and_no_other(tmp_path):
    reader, items = TextEncoder(tiny_bert()[0], cache=None), make_items()
    known = Items(items.texts, reader.encode(items.texts), items.minutes, reader)
    for name in ("tower", "tower-heads"):
        assert ENCODERS[name].make(known).options.model == str(tiny_bert()[0])
        assert ENCODERS[name].make(items).options.model == "minilm"
    own = Tower(known, tiny(model=None)).fit(make_log())
    np.testing.assert_array_equal(own.item_vectors, Tower(known, tiny()).fit(make_log()).item_vectors)
    both = rf"read by the text model 'minilm', the items' vectors are of '{tiny_bert()[0]}'"
    with pytest.raises(EncoderError, match=both):
        Tower(known, tiny(model="minilm")).fit(make_log())
    own.save(tmp_path)
    np.testing.assert_array_equal(Tower.load(tmp_path, known).item_vectors, own.item_vectors)


def test_checkpoints_of_another_bert_are_not_gone_on_from(tmp_path):
    folder = shutil.copytree(tiny_bert()[0], tmp_path / "bert")
    make, log = lambda: Tower(make_items(), tiny(model=str(folder), epochs=1, tuning_epochs=1)), make_log()
    make().fit(log, folder=tmp_path / "fit")
    file = folder / "model.safetensors"
    save_file({name: weight + np.float32(0.01) for name, weight in load_file(file).items()}, file)
    read_item_states.cache_clear()
    expected = make().fit(log).item_vectors
    np.testing.assert_array_equal(make().fit(log, folder=tmp_path / "fit").item_vectors, expected)


def test_cross_validation_tests_each_user_once_and_learns():
    log = make_log(users=80)
    make = lambda: Tower(make_items(), TowerOptions(trained_layers=0, **QUICK))  # noqa: E731
    table = cross_validate(make, log, folds=2)
    assert list(table["fold"]) == [0, 1]
    assert table["users"].sum() <= 80
    assert (table["auc"] > 0.8).all()
    assert (table["ranking_auc"] > 0.7).all()
    assert (
        table[["recall_at_k", "ndcg_at_k", "click_through", "accuracy", "precision", "recall", "f1"]]
        .notna()
        .all(axis=None)
    )
    again = cross_validate(make, log, folds=2)
    assert table.equals(again)


@pytest.mark.parametrize(("folds", "later"), [(1, 0.2), (1000, 0.2), (3, 0.0), (3, 1.0)])
def test_cross_validation_refuses_what_cannot_be(folds, later):
    with pytest.raises(EncoderError, match=rf"folds = {folds}, later = {later}; allowed: 2 to 60 users"):
        cross_validate(lambda: None, make_log(), folds, later=later)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"trained_layers": -1}, r"trained_layers = -1 is out of range"),
        ({"user": "spoken"}, r"user = 'spoken' is unknown.*; allowed: 'pooled', 'text'"),
        ({"loss": "hinge"}, r"loss = 'hinge' is unknown"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        TowerOptions(**options)


def test_what_cannot_be_fitted_is_refused():
    log, items = make_log(), make_items()
    with pytest.raises(ModelError, match="'multilingual' makes vectors of texts"):
        Tower(items, TowerOptions(model="multilingual"))  # before anything is read
    assert Tower(items, TowerOptions(model="multilingual", trained_layers=0)).options.model == "multilingual"
    with pytest.raises(EncoderError, match=r"trained_layers = 3; .* has 2 layers"):
        Tower(items, tiny(trained_layers=3)).fit(log)
    with pytest.raises(EncoderError, match=r"tokens = 65; .* reads 64 at most"):
        Tower(items, tiny(tokens=65)).fit(log)
    with pytest.raises(EncoderError, match=r"loss = 'binary' needs both"):
        Tower(items, TestBinary.options).fit(log.take(log.liked))
    with pytest.raises(EncoderError, match="no user likes a new item in the validation rows"):
        Tower(items, TestHeads.options).fit(log, log)
