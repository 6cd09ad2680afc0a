"""The embedded films: what the table holds is counted here again, in SQL, and known films are looked at by hand."""

import re
import sqlite3
import time
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest
from bokeh_sampledata.movies_data import movie_path

from longplay.envs.catalogs import films
from longplay.envs.catalogs.films import load_films
from longplay.envs.catalogs.table import CatalogError


@pytest.fixture(scope="module")
def catalog():
    return load_films()


@pytest.fixture(scope="module")
def rows_where():
    """Count the rows of the joined tables that meet a condition, or return what another selection gives."""
    with closing(sqlite3.connect(f"{movie_path.as_uri()}?mode=ro", uri=True)) as database:
        yield lambda condition, what="COUNT(*)": database.execute(
            f"SELECT {what} FROM omdb JOIN tomatoes USING (ID) WHERE {condition}"
        ).fetchall()


class TestCounts:
    @pytest.mark.parametrize(
        ("key", "condition", "count"),
        [
            ("rows", "1", 17472),
            ("runtime_missing", "Runtime IS NULL", 1299),
            ("runtime_odd", "Runtime < 40 OR Runtime > 300", 26),
            ("genre_missing", "IFNULL(Genre, '') = ''", 443),
            ("director_missing", "IFNULL(Director, '') = ''", 66),
            ("cast_missing", """IFNULL("Cast", '') = \'\'""", 1771),
            ("language_missing", "IFNULL(Language, '') = ''", 201),
            ("country_missing", "IFNULL(Country, '') = ''", 3),
            ("meter_missing", "Meter IS NULL", 19),
            ("reviews_missing", "Reviews IS NULL", 3),
        ],
    )
    def test_found(self, catalog, rows_where, key, condition, count):
        assert rows_where(condition) == [(count,)]
        assert catalog.report[key] == count

    def test_dropped(self, catalog, rows_where):
        ((ids, names),) = rows_where("1", "COUNT(DISTINCT imdbID), COUNT(DISTINCT Title || '|' || Year)")
        assert catalog.report["same_imdb_id_dropped"] == 17472 - ids == 2
        assert catalog.report["same_title_and_year_dropped"] == 17472 - names == 5
        assert catalog.report["films"] == len(catalog) == 17465

    def test_every_key_is_known(self, catalog):
        assert len(catalog.report) == 13


class TestWhichFilms:
    def test_the_more_reviewed_of_two_stays(self, catalog):
        titles = dict(zip(catalog.ids, (text.split(" (")[0] for text in catalog.texts), strict=True))
        assert titles["tt0078788"] == "Apocalypse Now"  # 148 reviews; Redux has 85
        assert titles["tt0850669"] == "Captain Mike Across America"  # 18; Slacker Uprising has 17
        assert {"tt0458522", "tt0425308"} <= titles.keys()  # The Singer with 107 reviews, Noise with 45
        assert not {"tt0464828", "tt0809931"} & titles.keys()  # their namesakes with 17 and 6

    def test_the_order_is_the_tables(self, catalog, rows_where):
        number = dict(rows_where("1 ORDER BY Reviews", "imdbID, ID"))  # of a shared id, the more reviewed comes last
        assert all(number[a] < number[b] for a, b in pairwise(catalog.ids))

    def test_ids_are_imdb_ids(self, catalog):
        assert all(re.fullmatch(r"tt\d{7,8}", item) for item in catalog.ids)

    def test_two_loads_agree(self, catalog):
        assert load_films().digest == catalog.digest


class TestNumbers:
    def test_runtimes(self, catalog, rows_where):
        rows = dict(rows_where("1 ORDER BY Reviews", "imdbID, Runtime"))  # of a shared id, the more reviewed comes last
        runtimes = {item: runtime for item, runtime in rows.items() if runtime and 40 <= runtime <= 300}
        known = np.array([item in runtimes for item in catalog.ids])
        assert catalog.minutes[known].tolist() == [runtimes[item] for item in catalog.ids if item in runtimes]
        first = np.array([labels[0] if labels else "" for labels in catalog.topics])
        assert (~known).sum() == 1298 + 26  # of the 1,299 without runtime, one was dropped (a namesake)
        for genre in np.unique(first):
            filled = catalog.minutes[(first == genre) & ~known]
            assert (filled == np.median(catalog.minutes[(first == genre) & known])).all()
        assert (catalog.minutes.min(), catalog.minutes.max()) == (40.0, 293.0)

    def test_shoah_gets_the_median_of_documentaries(self, catalog):
        assert catalog.minutes[catalog.ids.index("tt0090015")] == 90.0

    def test_popularity_ranks_reviews(self, catalog, rows_where):
        reviews = dict(rows_where("Reviews IS NOT NULL ORDER BY Reviews", "imdbID, Reviews"))
        counts = np.array([reviews[item] for item in catalog.ids if item in reviews])
        for item in ("tt0078788", "tt0113277", catalog.ids[0]):
            below, equal = (counts < reviews[item]).mean(), (counts == reviews[item]).mean()
            assert catalog.popularity[catalog.ids.index(item)] == pytest.approx(below + equal / 2, abs=1e-12)
        unknown = [number for number, item in enumerate(catalog.ids) if item not in reviews]
        assert catalog.popularity[unknown].tolist() == [0.5] * 3

    def test_a_meter_of_few_reviews_counts_for_less(self, catalog, rows_where):
        rows = {item: (meter, n) for item, meter, n in rows_where("1 ORDER BY Reviews", "imdbID, Meter, Reviews")}
        facts = [(*rows[item], rating) for item, rating in zip(catalog.ids, catalog.rating, strict=True)]
        assert [rating for meter, _, rating in facts if meter is None] == [0.5] * 19
        perfect = {n: rating for meter, n, rating in sorted(facts, key=lambda f: f[1] or 0) if meter == 100}
        assert list(perfect.values()) == sorted(perfect.values())
        ninety_of_many = min(rating for meter, n, rating in facts if meter == 95 and n and n > 200)
        assert perfect[5] < ninety_of_many
        # Where the count is not known (meters 35, 79 and 84), the meter counts as if of five reviews.
        five = {meter: rating for meter, n, rating in facts if n == 5}
        for meter, rating in [(meter, rating) for meter, n, rating in facts if n is None]:
            assert five[meter // 20 * 20] < rating < five[meter // 20 * 20 + 20]
        known = np.array([(meter, rating) for meter, n, rating in facts if meter is not None and n])
        assert np.corrcoef(known.T)[0, 1] > 0.95

    def test_the_strength_of_the_prior_is_that_of_the_data(self, rows_where):
        meter, n = np.array(rows_where("Meter IS NOT NULL AND Reviews IS NOT NULL", "Meter / 100.0, Reviews")).T
        within = meter * (1 - meter) / (n - 1)  # unbiased variance of a share of n reviews
        strength = (within * n).mean() / (meter.var(ddof=1) - within.mean())
        assert strength == pytest.approx(films.PRIOR_REVIEWS, rel=0.05)

    def test_years(self, catalog):
        assert (catalog.published.min(), catalog.published.max()) == (1940, 2014)
        assert catalog.published[catalog.ids.index("tt0078788")] == 1979

    def test_percentiles_are_spread_evenly(self, catalog):
        for ranks in (catalog.popularity, catalog.rating):
            assert ranks.mean() == pytest.approx(0.5, abs=1e-6)
            assert np.quantile(ranks, [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.03)


class TestTexts:
    @pytest.mark.parametrize(
        ("item", "text"),
        [
            (
                "tt0068646",
                "The Godfather (1972), a thriller, drama, crime and history film directed by Francis Ford Coppola, "
                "starring Robert Duvall, Al Pacino and Diane Keaton. From Italy and the United States, in English and "
                "Italian.",
            ),
            (
                "tt0034583",
                "Casablanca (1942), a war, romance, drama and crime film directed by Michael Curtiz, starring Humphrey "
                "Bogart, John Qualen and Ingrid Bergman. From the United States, in English.",
            ),
        ],
    )
    def test_known_films(self, catalog, item, text):
        assert catalog.texts[catalog.ids.index(item)] == text

    def test_nothing_unknown_is_said(self, catalog, rows_where):
        titles = dict(rows_where("1 ORDER BY Reviews", "imdbID, Title"))
        for item, text in zip(catalog.ids, catalog.texts, strict=True):
            assert text.startswith(f"{titles[item]} (")
            rest = text[len(titles[item]) :]  # a title may say "None" itself
            assert not re.search(r"\bNone\b|\bnan\b|\bN/A\b|list of|  | ,|\.\.|,,|, and\b|, Jr\.|\n", rest), text
            assert text.endswith(".")

    def test_all_differ(self, catalog):
        assert len(set(catalog.texts)) == len(catalog)

    def test_a_name_with_a_suffix_is_one_person(self):
        assert films._split_names("Ed Begley, Jr., Keye Luke, list of crew, Keye Luke, Al Jr.") == [
            "Ed Begley Jr.",
            "Keye Luke",
            "Al Jr.",
        ]

    def test_many_directors_are_cut(self, catalog):
        text = next(text for text in catalog.texts if text.startswith("Bambi (1942)"))
        assert "directed by Bill Roberts, David Hand, Graham Heid and others." in text

    def test_topics_are_the_genres(self, catalog):
        assert catalog.topics[catalog.ids.index("tt0068646")] == ("Thriller", "Drama", "Crime", "History")
        labels = [label for labels in catalog.topics for label in labels]
        assert len(set(labels)) == 21
        assert labels.count("Drama") > 8900


def test_loading_is_quick():
    start = time.process_time()
    load_films()
    assert time.process_time() - start < 6  # about 0.8 s of processor time; the rest is for slow machines


def test_a_table_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(films, "movie_path", tmp_path / "movies.db")
    with pytest.raises(CatalogError, match=r"movies\.db: the films cannot be read .*Fix: install bokeh-sampledata"):
        load_films()
    (tmp_path / "movies.db").write_bytes(b"no database, but long enough to be looked at" * 50)
    with pytest.raises(CatalogError, match=r"movies\.db: the films cannot be read"):
        load_films()
