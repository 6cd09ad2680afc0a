"""The catalogue: what it refuses and how it says so, how three formats give one catalogue."""

import csv
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longplay.envs.catalogs.catalog import Catalog, compute_midrank_percentile
from longplay.envs.catalogs.table import CatalogError


def small_catalog(**changes):
    fields = {
        "name": "small",
        "ids": ("a", "b", "c"),
        "texts": ("One.", "Two.", "Three."),
        "topics": (("Drama", "War"), (), ("Drama",)),
        "minutes": np.array([90.0, 100.0, 110.0]),
        "popularity": np.array([0.0, 0.5, 1.0]),
        "rating": np.array([0.2, 0.4, 0.6]),
        "published": np.array([1990.0, 2000.0, 2010.0]),
        "report": {"rows": 3},
    }
    return Catalog(**(fields | changes))


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows in the format of the path's ending; None is an empty cell, a list of labels is kept where possible."""
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        if ".jsonl" in path.name:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            # lineterminator: the writer quotes only the line ends that it uses itself
            writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: "|".join(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows)
    return path


ENDINGS = [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"]
ROWS = [
    {
        "id": "007",
        "text": 'A "quoted", odd text.',
        "topics": ["Spy", "Sea"],
        "minutes": 90,
        "popularity": 7,
        "extra": 1,
    },
    {"id": "NA", "text": "null", "topics": [], "minutes": 100.5, "popularity": 7, "extra": 2},
    {"id": "é 3", "text": "Two\nlines, ünïcode …", "topics": ["Spy"], "minutes": None, "popularity": 100, "extra": 3},
    {"id": " x ", "text": "  kept as written ", "topics": None, "minutes": 120, "popularity": -3, "extra": 4},
]


class TestFromTable:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_every_format_gives_the_same_catalogue(self, tmp_path, ending):
        catalog = Catalog.from_table(write(tmp_path / f"mine.v1{ending}", ROWS))
        assert catalog.name == "mine"
        assert catalog.ids == ("007", "NA", "é 3", " x ")
        assert catalog.texts == tuple(row["text"] for row in ROWS)
        assert catalog.topics == (("Spy", "Sea"), (), ("Spy",), ())
        assert catalog.minutes.tolist() == [90.0, 100.5, 100.5, 120.0]
        assert catalog.popularity.tolist() == [0.5, 0.5, 0.875, 0.125]
        assert catalog.rating.tolist() == [0.5] * 4
        assert catalog.published.tolist() == [0.0] * 4
        assert catalog.report == {
            "rows": 4,
            "columns_ignored": 1,
            "topics_missing": 2,
            "minutes_filled_with_median": 1,
            "popularity_filled_with_median": 0,
            "rating_set_to_default": 4,
            "published_set_to_default": 4,
        }
        assert catalog.digest == Catalog.from_table(write(tmp_path / "other.csv", ROWS)).digest

    def test_id_and_text_are_enough(self, tmp_path):
        catalog = Catalog.from_table(write(tmp_path / "t.csv", [{"id": "a", "text": "A."}, {"id": "b", "text": "B."}]))
        assert catalog.minutes.tolist() == [10.0, 10.0]
        assert catalog.popularity.tolist() == catalog.rating.tolist() == [0.5, 0.5]
        assert catalog.topics == ((), ())
        assert catalog.report["minutes_set_to_default"] == 2

    def test_columns_by_other_names(self, tmp_path):
        rows = [
            {
                "film": f"f{n}",
                "plot": f"Plot {n}.",
                "tags": "x| y |x|",
                "len": n,
                "views": -n,
                "stars": n,
                "year": 1990 + n,
            }
            for n in (1, 2)
        ]
        names = {"minutes": "len", "popularity": "views", "rating": "stars", "published": "year", "topics": "tags"}
        catalog = Catalog.from_table(
            write(tmp_path / "t.csv", rows),
            name="mine",
            id_column="film",
            text_column="plot",
            **{f"{key}_column": column for key, column in names.items()},
        )
        assert (catalog.name, catalog.ids, catalog.texts) == ("mine", ("f1", "f2"), ("Plot 1.", "Plot 2."))
        assert catalog.topics == (("x", "y"), ("x", "y"))
        assert (catalog.minutes.tolist(), catalog.published.tolist()) == ([1, 2], [1991, 1992])
        assert (catalog.popularity.tolist(), catalog.rating.tolist()) == ([0.75, 0.25], [0.25, 0.75])
        assert catalog.report["columns_ignored"] == 0

    def test_prices_are_taken_by_name_where_they_are_numbers(self, tmp_path, capfd):
        def read(cells, **columns):
            rows = [{"id": str(n), "text": f"T{n}.", "price": cell, "cost": n + 1} for n, cell in enumerate(cells)]
            return Catalog.from_table(write(tmp_path / "t.csv", rows), **columns)

        assert read(["3", "", "9.5"]).price.tolist() == [3, 6.25, 9.5]
        assert "1 empty cells of price get the column's median" in capfd.readouterr().err
        for cells in (["3", "free", "9.5"], ["3", "0", "9.5"], ["", "", ""], ["nan", "1", "2"]):
            catalog = read(cells)
            assert catalog.price is None
            assert catalog.digest == read(["1", "2", "3"]).digest
        assert read(["3", "free", "9.5"], price_column="cost").price.tolist() == [1, 2, 3]
        with pytest.raises(
            CatalogError, match=r"column 'price': 0\.0 is not allowed\. Fix: price takes finite numbers ab"
        ):
            read(["3", "0", "9.5"], price_column="price")
        assert read(["1", "2", "3"]).price_digest != read(["1", "2", "4"]).price_digest
        assert read(["", "", ""]).price_digest == ""

    def test_a_missing_number_becomes_the_median_of_the_known(self, tmp_path):
        rows = [{"id": str(n), "text": "T.", "minutes": m, "rating": m} for n, m in enumerate([None, 10, 40, 20, None])]
        catalog = Catalog.from_table(write(tmp_path / "t.csv", rows))
        assert catalog.minutes.tolist() == [20, 10, 40, 20, 20]
        assert catalog.rating.tolist() == pytest.approx([0.5, 0.1, 0.9, 0.5, 0.5])
        assert catalog.report["minutes_filled_with_median"] == catalog.report["rating_filled_with_median"] == 2

    @pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
    def test_whole_numbers_can_be_ids(self, tmp_path, ending):
        rows = [{"id": 12345678901234567, "text": "A."}, {"id": 12345678901234568, "text": "B."}]
        catalog = Catalog.from_table(write(tmp_path / f"t{ending}", rows))
        assert catalog.ids == ("12345678901234567", "12345678901234568")

    def test_byte_order_mark_blank_lines_and_capital_ending(self, tmp_path):
        path = tmp_path / "T.CSV"
        path.write_bytes("\ufeffid,text\r\n\r\na,A.\r\n\r\nb,B.\r\n".encode())
        assert Catalog.from_table(path).ids == ("a", "b")

    @settings(max_examples=60, deadline=None)
    @given(
        items=st.dictionaries(
            st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8).filter(str.strip),
            st.tuples(
                st.text(st.characters(exclude_categories=["C"], include_characters="\n\r\t")).filter(str.strip),
                st.none() | st.floats(min_value=1e-3, max_value=1e6),
                st.lists(st.sampled_from(["Drama", "Sci-Fi", "No Man's Land"]), unique=True),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_any_printable_items_survive_each_format(self, tmp_path_factory, items):
        rows = [{"id": i, "text": t, "minutes": m, "topics": g} for i, (t, m, g) in items.items()]
        rows[0]["minutes"] = 5.0  # one at least is known
        known = [row["minutes"] for row in rows if row["minutes"] is not None]
        folder = tmp_path_factory.mktemp("any")
        for ending in ENDINGS:
            catalog = Catalog.from_table(write(folder / f"t{ending}", rows))
            assert catalog.ids == tuple(items)
            assert catalog.texts == tuple(row["text"] for row in rows)
            assert catalog.topics == tuple(tuple(row["topics"]) for row in rows)
            expected = [np.median(known) if row["minutes"] is None else row["minutes"] for row in rows]
            assert catalog.minutes.tolist() == expected


class TestFields:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"ids": ("a",)}, "field 'ids': 1 items"),
            ({"ids": ("a", "b", "a")}, "field 'ids', item 3: the id 'a' was used before, at field 'ids', item 1"),
            ({"ids": ("a", " ", "c")}, "field 'ids', item 2: ' ' is blank"),
            ({"ids": ("a", 2, "c")}, "field 'ids', item 2: 2 is blank or no text"),
            ({"texts": ("One.", "Two.")}, "field 'texts': length 2. Fix: give 3"),
            ({"texts": ("One.", "Two.", "\n")}, "field 'texts', item 3: '\\n' is blank"),
            ({"topics": ((), ())}, "field 'topics': length 2. Fix: give 3"),
            ({"topics": (("x",), (), ("y", ""))}, "field 'topics', item 3: '' is blank"),
            ({"minutes": np.ones(2)}, "field 'minutes': shape (2,). Fix: give (3,)"),
            ({"minutes": np.ones((3, 1))}, "field 'minutes': shape (3, 1). Fix: give (3,)"),
            (
                {"minutes": np.array([1.0, 0.0, 2.0])},
                "field 'minutes', item 2: 0.0 is not allowed. Fix: minutes takes finite",
            ),
            ({"popularity": np.array([0.0, 0.5, 1.01])}, "field 'popularity', item 3: 1.01 is not allowed"),
            ({"rating": np.array([-0.1, 0.5, 1.0])}, "field 'rating', item 1: -0.1 is not allowed"),
            ({"published": np.array([1.0, 2.0, np.nan])}, "field 'published', item 3: nan is not allowed"),
            ({"published": np.array([1.0, np.inf, 2.0])}, "field 'published', item 2: inf is not allowed"),
        ],
    )
    def test_what_is_refused(self, changes, said):
        with pytest.raises(CatalogError) as error:
            small_catalog(**changes)
        assert said in str(error.value)
        assert "Fix: " in str(error.value)

    def test_arrays_are_read_only_copies(self):
        minutes = np.array([1.0, 2.0, 3.0])
        catalog = small_catalog(minutes=minutes)
        minutes[0] = 9.0
        assert catalog.minutes.tolist() == [1.0, 2.0, 3.0]
        for values in (catalog.minutes, catalog.popularity, catalog.rating, catalog.published):
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 0.5

    def test_length_and_name_in_words(self):
        assert len(small_catalog()) == 3
        assert repr(small_catalog()) == "Catalog('small', 3 items)"


class TestDigest:
    @pytest.mark.parametrize(
        "changes",
        [
            {"ids": ("a", "b", "d")},
            {"texts": ("One.", "Two.", "Three!")},
            {"texts": ("One.T", "wo.", "Three.")},
            {"topics": (("Drama", "War"), ("Drama",), ())},
            {"topics": (("Drama,War",), (), ("Drama",))},
            {"minutes": np.array([90.0, 100.0, np.nextafter(110.0, 111.0)])},
            {"popularity": np.array([0.5, 0.0, 1.0])},
            {"rating": np.array([0.2, 0.4, 0.7])},
            {"published": np.array([1990.0, 2000.0, 2011.0])},
        ],
    )
    def test_changes_with_whatever_affects_a_simulation(self, changes):
        assert small_catalog(**changes).digest != small_catalog().digest

    def test_is_blind_to_name_and_report(self):
        assert replace(small_catalog(), name="other", report={}).digest == small_catalog().digest

    def test_is_the_same_in_another_process(self, tmp_path):
        path = write(tmp_path / "t.jsonl", ROWS)
        code = f"from longplay.envs.catalogs.catalog import Catalog; print(Catalog.from_table({str(path)!r}).digest)"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert other.stdout.strip() == Catalog.from_table(path).digest


class TestMidrankPercentile:
    def test_by_hand(self):
        # Below 1: none of 5 and half of itself; the two 2s: one below and half of both; and so on.
        assert compute_midrank_percentile([2, 1, 2, 9, 5]).tolist() == pytest.approx([0.4, 0.1, 0.4, 0.9, 0.7])
        assert compute_midrank_percentile([3, 3, 3]).tolist() == [0.5, 0.5, 0.5]

    def test_unknown_values_are_neutral_and_rank_nowhere(self):
        assert compute_midrank_percentile([np.nan, 8, 4, np.nan]).tolist() == [0.5, 0.75, 0.25, 0.5]
        assert compute_midrank_percentile([np.nan]).tolist() == [0.5]

    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
    def test_against_counting(self, values):
        expected = [(sum(w < v for w in values) + sum(w == v for w in values) / 2) / len(values) for v in values]
        assert compute_midrank_percentile(values).tolist() == pytest.approx(expected)
