"""Popularity and time of publication from a log, and what is said of columns that a table lacks."""

import numpy as np
import pandas as pd
import pytest

from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.catalogs.filling import fill_from_log
from longplay.envs.catalogs.table import CatalogError
from longplay.envs.shared import notices
from longplay.tests.envs.catalogs.test_catalog import small_catalog, write

# a: two users on three rows, b: one user twice, c: nobody; one row of an unknown item, one without a time.
ROWS = [
    {"user": "u", "item": "a", "time": 30.0},
    {"user": "v", "item": "a", "time": 20.0},
    {"user": "v", "item": "a", "time": 25.0},
    {"user": "u", "item": "b", "time": 40.0},
    {"user": "u", "item": "b", "time": 10.0},
    {"user": "u", "item": "zzz", "time": 1.0},
    {"user": "u", "item": "c", "time": None},
]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(notices, "_SAID", set())


@pytest.mark.parametrize("form", ["frame", "columns", ".csv", ".jsonl", ".parquet"])
def test_popularity_counts_users_and_published_is_the_first_row(tmp_path, form, capsys):
    frame = pd.DataFrame(ROWS)
    log = {"frame": frame, "columns": frame.to_dict("list")}.get(form)
    log = write(tmp_path / f"log{form}", ROWS) if log is None else log
    filled = fill_from_log(small_catalog(), log)
    assert filled.popularity.tolist() == [5 / 6, 0.5, 1 / 6]
    assert filled.published.tolist() == [20.0, 10.0, 15.0]  # the median of those known
    assert filled.rating.tolist() == [0.2, 0.4, 0.6]
    counts = {"log_rows": 7, "log_item_unknown": 1, "log_row_unreadable": 1, "items_without_rows": 1}
    assert filled.report == {"rows": 3, **counts}
    source = str(log) if form.startswith(".") else "the log"
    assert capsys.readouterr().err == (
        f"longplay: popularity and published of catalogue 'small' filled from {source} "
        "(log_rows: 7, log_item_unknown: 1, log_row_unreadable: 1, items_without_rows: 1)\n"
    )


@pytest.mark.parametrize(
    "times",
    [
        ["2024-03-02", "2024-03-01T12:00:00Z", "2024-03-03 01:00:00+02:00"],
        pd.to_datetime(["2024-03-02T00:00", "2024-03-01T12:00", "2024-03-02T23:00"]),
        pd.to_datetime(["2024-03-02T00:00", "2024-03-01T12:00", "2024-03-02T23:00"], utc=True),
    ],
    ids=["text", "dates", "zoned"],
)
def test_dates_are_seconds(times):
    log = pd.DataFrame({"user": "u", "item": ["a", "b", "c"], "time": times})
    published = fill_from_log(small_catalog(), log).published
    assert (published - published[0]).tolist() == [0.0, -43_200.0, 82_800.0]


def test_what_was_only_shown_is_there_but_not_popular():
    log = pd.DataFrame({"user": ["u", "v", "u"], "item": ["a", "a", "b"], "time": [5, 6, 7], "opened": ["0", "0", "1"]})
    filled = fill_from_log(small_catalog(), log, consumed="opened")
    assert filled.popularity.tolist() == [1 / 3, 5 / 6, 1 / 3]
    assert filled.published.tolist() == [5.0, 7.0, 6.0]


def test_one_field_alone_can_be_filled():
    filled = fill_from_log(small_catalog(), pd.DataFrame(ROWS), fields=["published"])
    assert filled.popularity.tolist() == [0.0, 0.5, 1.0]
    assert filled.published.tolist() == [20.0, 10.0, 15.0]


def test_whole_numbers_among_gaps_are_ids_as_written():
    catalog = small_catalog(ids=("7", "8", "9"))
    log = pd.DataFrame({"user": [1.0, np.nan], "item": [7.0, 8.0], "time": [1, 2]})
    assert fill_from_log(catalog, log).report["log_row_unreadable"] == 1


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"time": "moment"},
            {},
            r"the log: no column 'time' among 'user', 'item', 'moment'\. Fix: rename one, or pass",
        ),
        ({}, {"item": "items"}, r"no column 'items' .*pass item='item'"),
        (
            {},
            {"fields": ["rating"]},
            r"field 'rating' cannot be filled from a log\. Fix: give some of popularity, publ",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, options, message):
    with pytest.raises(CatalogError, match=message):
        fill_from_log(small_catalog(), pd.DataFrame(ROWS).rename(columns=change), **options)


def test_a_log_of_other_items_is_refused():
    with pytest.raises(
        CatalogError, match=r"no row is left of 7 \(6 of items that are not in the catalogue, 1 without"
    ):
        fill_from_log(small_catalog(ids=("x", "y", "b2")), pd.DataFrame(ROWS).replace({"item": {"c": "x"}}))


def test_columns_that_a_table_lacks_are_said_once(tmp_path, capsys):
    path = write(
        tmp_path / "items.csv", [{"id": "a", "text": "A.", "rating": 3}, {"id": "b", "text": "B.", "rating": 4}]
    )
    Catalog.from_table(path)
    Catalog.from_table(path)
    assert capsys.readouterr().err == (
        "longplay: items.csv has no minutes (10), popularity (0.5), published (0): all its items get the value in "
        "brackets. To change that, add a column, or name one as minutes_column or popularity_column or "
        "published_column, or fill popularity and published from a log with longplay.fill_from_log\n"
    )
    full = {"minutes": 5, "popularity": 1, "rating": 3, "published": 2000}
    Catalog.from_table(write(tmp_path / "full.csv", [{"id": name, "text": "A.", **full} for name in "ab"]))
    assert capsys.readouterr().err == ""


def test_cells_that_are_filled_and_columns_that_are_not_read_are_said_once(tmp_path, capsys):
    full = {"minutes": 5, "popularity": 1, "rating": 3, "published": 2000, "Year": 1, "genres": "x"}
    rows = [{"id": name, "text": "A.", **full} for name in "abc"]
    rows[1] |= {"minutes": "", "rating": ""}
    path = write(tmp_path / "odd.csv", rows)
    assert Catalog.from_table(path).minutes.tolist() == [5.0, 5.0, 5.0]
    Catalog.from_table(path)
    assert capsys.readouterr().err == (
        "longplay: odd.csv: 1 empty cells of minutes get the column's median; 1 empty cells of rating get the column's "
        "median; not read: Year, genres (name a column as topics_column, minutes_column and so on)\n"
    )
