"""MovieTweetings from small files of the same form, and the real ones where they are at hand."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

import longplay
from longplay.encoders.data.splits import split
from longplay.encoders.data.table_parsing import LogError
from longplay.encoders.measures.evaluation import PopularityScorer, evaluate
from longplay.envs.catalogs.table import CatalogError
from longplay.scripts.studies.encoders.ratings import FILMS, RATINGS, load_ratings

FILM_ROWS = [
    {"imdb": "0012", "title": "The Bank", "year": 1915, "genres": ["Comedy", "Short"], "n_ratings": 2},
    {"imdb": "0345", "title": "Heat", "year": 1995, "genres": ["Crime"], "extract": "A thief  meets\na detective."},
    {"imdb": "0678", "title": "Nameless", "year": None, "genres": [], "extract": "Nobody knows."},
]
RATING_ROWS = ["u,m,r,t", "1,0345,8,1360000000", "1,0012,5,1360086400", "2,0678,10,1360043200", "2,9999,3,1360000000"]


@pytest.fixture
def folder(tmp_path):
    films = "".join(json.dumps(row) + "\n" for row in FILM_ROWS)
    (tmp_path / FILMS).write_bytes(gzip.compress(films.encode()))
    (tmp_path / RATINGS).write_bytes(gzip.compress("\n".join(RATING_ROWS).encode()))
    return tmp_path


def test_films_and_ratings_by_hand(folder):
    texts, item_ids, log = load_ratings(folder)
    assert texts == ("Heat (1995), a crime film. A thief meets a detective.", "Nameless, a film. Nobody knows.")
    assert item_ids == log.item_ids == ("0345", "0678")
    assert log.user_ids == ("1", "2")
    assert log.item.tolist() == [1, 2]
    assert log.completion.tolist() == [pytest.approx(0.8), 1.0]
    assert log.time.tolist() == [0.0, 0.5]
    assert log.report["item_unknown"] == 2


def test_films_without_plots_can_stay(folder):
    texts, item_ids, log = load_ratings(folder, plots_only=False)
    assert texts[0] == "The Bank (1915), a comedy short film."
    assert item_ids == ("0012", "0345", "0678")
    assert len(log) == 3
    assert log.report["item_unknown"] == 1


def test_missing_files_and_columns_are_named(folder):
    (folder / RATINGS).write_bytes(gzip.compress(b"u,m,t\n1,0345,5\n2,0345,6\n"))
    with pytest.raises(CatalogError, match="no column 'r'"):
        load_ratings(folder)
    (folder / RATINGS).unlink()
    with pytest.raises(LogError, match=f"no {RATINGS}. Fix"):
        load_ratings(folder)


@pytest.fixture(scope="module")
def real():
    folder = Path(os.environ.get("LONGPLAY_DATA", Path(longplay.__file__).parents[1] / "shared" / "data"))
    if not (folder / RATINGS).is_file():
        pytest.skip(f"the ratings are not in {folder}; set LONGPLAY_DATA to their folder")
    return load_ratings(folder)


def test_the_real_ratings_are_those_of_the_manifest(real):
    texts, _, log = real
    assert len(texts) == log.items == 4904
    assert log.report["rows"] == 100_000
    assert log.report["item_unknown"] + len(log) == 100_000
    assert len(log) / 100_000 == pytest.approx(0.82, abs=0.005)
    assert 150 < log.time.max() < 240  # February to September
    assert all(len(text) > 20 for text in texts)


def test_popularity_beats_chance_on_real_ratings(real):
    parts = split(real[2])
    found = evaluate(PopularityScorer(parts.train), parts.warm)
    chance = 10 * found["targets"] / found["candidates"]
    assert found["recall"].mean() > 10 * (chance / np.minimum(found["targets"], 10)).mean()
    cold = evaluate(PopularityScorer(parts.train), parts.cold_items)
    np.testing.assert_allclose(cold["auc"], 0.5)  # nobody ever liked those: chance, exactly
