"""The study of encoders: what it measures, that nothing of the future is learnt, that it can be repeated."""

from dataclasses import replace

import numpy as np
import pytest

from longplay.encoders.data.splits import split
from longplay.encoders.measures.evaluation import PopularityScorer
from longplay.encoders.registry import ENCODERS
from longplay.scripts.shared.logs import Source
from longplay.scripts.studies.encoders.measures import compute_stamp, fit_for_use, measure_encoder
from longplay.tests.encoders.small import make_items, make_log

CASES = {"warm", "cold users", "no history", "cold items"}


@pytest.fixture(scope="module")
def source():
    """Two crowds, who read what their crowd reads."""
    log = make_log(users=150, items=60, rows=20)
    profiles = np.eye(2, dtype=np.float32)[np.arange(150) % 2]
    return Source("small", make_items(60), log, profiles)


@pytest.fixture(scope="module")
def tables(source):
    return {name: measure_encoder(source, name, 1) for name in ("random", "popularity", "pooled", "als")}


def mean(tables, name, case, encoder=None, measure="recall"):
    table = tables[name]
    return table[(table["case"] == case) & (table["encoder"] == (encoder or name))][measure].mean()


def test_every_case_is_measured(tables):
    for name, table in tables.items():
        assert set(table[table["encoder"] == name]["case"]) == CASES
        assert (table["seed"] == 1).all()
        assert (table["source"] == "small").all()
        assert (table["fit_seconds"] >= 0).all()
        assert table["recall"].between(0, 1).all()
    assert set(tables["als"]["encoder"]) == {"als", "als+text"}
    assert set(tables["random"]["encoder"]) == {"random"}


def test_who_reads_the_history_beats_who_does_not(tables):
    for name in ("pooled", "als"):
        assert mean(tables, name, "warm") > 1.2 * mean(tables, "random", "warm")
        assert mean(tables, name, "warm") > 1.2 * mean(tables, "popularity", "warm")


def test_texts_stand_in_for_what_is_new(tables):
    """Collaborative vectors know nothing of new items, texts do; profiles tell the crowd of users without a past."""
    assert mean(tables, "als", "cold items", measure="auc") == pytest.approx(0.5)
    assert mean(tables, "als", "cold items", "als+text", measure="auc") > 0.65
    assert mean(tables, "als", "no history", "als+text") > 1.2 * mean(tables, "als", "no history")


def test_repeated_it_finds_the_same(source, tables):
    own = tables["als"].drop(columns=["fit_seconds", "encode_ms"])
    assert measure_encoder(source, "als", 1).drop(columns=["fit_seconds", "encode_ms"]).equals(own)


@pytest.mark.parametrize("name", ["popularity", "als", "svd", "item-knn"])
def test_nothing_of_the_future_is_learnt(source, tables, name):
    """Whatever happens after the cut changes what is asked for, and nothing of what an encoder says."""
    parts = split(source.log, seed=1)
    after = np.flatnonzero(source.log.time >= parts.test_start)
    items = source.log.item.copy()
    items[after] = 1 + (items[after] + 7) % 60
    other = replace(source, log=replace(source.log, item=items))
    scores = []
    for known in (source, other):
        train = split(known.log, seed=1, test_start=parts.test_start, validation_start=parts.validation_start)
        scorer = (
            PopularityScorer(train.train)
            if name == "popularity"
            else ENCODERS[name].make(known.items).fit(train.train, train.validation)
        )
        scores.append(scorer.score(parts.warm.histories))
    np.testing.assert_array_equal(scores[0], scores[1])


def test_what_is_used_knows_every_item(source, tmp_path):
    fit_for_use(source, "als", 0, tmp_path)
    vectors = ENCODERS["als"].kind.load(tmp_path, source.items).item_vectors
    assert (np.abs(vectors[1:]).max(axis=1) > 0).all()


def test_a_stamp_follows_what_a_measurement_depends_on(source):
    other = replace(source, log=source.log.take(np.arange(len(source.log) - 1)))
    stamps = [
        compute_stamp(source, "als"),
        compute_stamp(source, "svd"),
        compute_stamp(other, "als"),
        compute_stamp(replace(source, profiles=None), "als"),
    ]
    assert len(set(stamps)) == 4
    assert compute_stamp(replace(source), "als") == stamps[0]
