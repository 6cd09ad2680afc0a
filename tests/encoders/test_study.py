"""The study of encoders: what it measures, that nothing of the future is learnt, that it can be repeated."""

import numpy as np
import pytest

from longplay.encoders.registry import ENCODERS
from longplay.encoders.study import Source, measure
from longplay.tests.encoders.small import make_items, make_log

CASES = {"warm", "cold users", "no history", "cold items"}


@pytest.fixture(scope="module")
def source():
    """Two crowds, who read what their crowd reads."""
    log = make_log(users=150, items=60, rows=20)
    profiles = np.eye(2, dtype=np.float32)[np.arange(150) % 2]
    return Source("small", make_items(60), log, profiles)


@pytest.fixture(scope="module")
def tables(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return {
        name: measure(source, name, 1, folder / name, changes)
        for name, changes in (("random", {}), ("popularity", {}), ("pooled", {}), ("als", {"width": 8}))
    }


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
    assert set(tables["pooled"]["encoder"]) == {"pooled"}


def test_who_reads_the_history_beats_who_does_not(tables):
    for name in ("pooled", "als"):
        assert mean(tables, name, "warm") > 1.2 * mean(tables, "random", "warm")
        assert mean(tables, name, "warm") > 1.2 * mean(tables, "popularity", "warm")


def test_texts_stand_in_for_what_is_new(tables):
    """Collaborative vectors know nothing of new items, texts do; profiles tell the crowd of users without a past."""
    assert mean(tables, "als", "cold items", measure="auc") == pytest.approx(0.5)
    assert mean(tables, "als", "cold items", "als+text", measure="auc") > 0.65
    assert mean(tables, "als", "no history", "als+text") > 1.2 * mean(tables, "als", "no history")


def test_the_fitted_encoder_is_kept(source, tmp_path):
    measure(source, "als", 0, tmp_path, {"width": 8})
    assert ENCODERS["als"].encoder.load(tmp_path, source.items).settings.width == 8


def test_repeated_it_finds_the_same(source, tables, tmp_path):
    again = measure(source, "als", 1, tmp_path, {"width": 8})
    own = tables["als"].drop(columns=["fit_seconds", "encode_ms"])
    assert again.drop(columns=["fit_seconds", "encode_ms"]).equals(own)
