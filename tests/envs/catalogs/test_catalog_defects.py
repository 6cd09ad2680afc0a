"""Defects of tables: every message names the place, the value and the fix."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longplay.envs.catalogs.catalog import Catalog
from longplay.envs.catalogs.table import CatalogError
from longplay.tests.envs.catalogs.test_catalog import write

HEAD = "id,text,minutes,topics\n"
LINE = '{"id": "a", "text": "A."}\n'
TEXT_DEFECTS = {
    "unknown kind": ("t.xlsx", "", ["t.xlsx: unknown kind", ".csv, .csv.gz, .jsonl, .jsonl.gz, .parquet"]),
    "no bytes": ("t.csv", "", ["t.csv: 0 data rows", "give at least 2"]),
    "only a header": ("t.csv", HEAD, ["t.csv: 0 data rows", "give at least 2"]),
    "no objects": ("t.jsonl", "\n", ["t.jsonl: 0 data rows", "give at least 2"]),
    "one row": ("t.csv", HEAD + "a,A.,1,\n", ["t.csv: 1 data rows", "give at least 2"]),
    "missing column": (
        "t.csv",
        "ID,texts\na,A.\nb,B.\n",
        ["t.csv: no column 'id' among 'ID', 'texts'", "Fix: rename one, or pass id_column='ID'"],
    ),
    "semicolons": (
        "t.csv",
        "id;text\na;A.\nb;B.\n",
        ["t.csv: one column, 'id;text', with ';' in its name. Fix: separate the columns by commas"],
    ),
    "tabs": ("t.csv", "id\ttext\na\tA.\nb\tB.\n", ["one column", "with '\\t' in its name"]),
    "missing text, nothing near": (
        "t.csv",
        "id,plot\na,A.\nb,B.\n",
        ["t.csv: no column 'text' among 'id', 'plot'", "pass one of them as text_column"],
    ),
    "two columns of one name": ("t.csv", "id,text,id\na,A.,b\n", ["t.csv, line 1", "'id', 'text', 'id'", "once"]),
    "blank id": (
        "t.csv",
        HEAD + "a,A.,1,\n  ,B.,1,\n",
        ["t.csv, line 3, column 'id': '  ' is blank", "Fix: give every"],
    ),
    "empty id": ("t.csv", HEAD + "a,A.,1,\n,B.,1,\n", ["t.csv, line 3, column 'id': '' is blank", "Fix: give every"]),
    "id left out": ("t.jsonl", LINE + '{"text": "B."}\n', ["t.jsonl, line 2, column 'id': None", "Fix: give every"]),
    "id no text": (
        "t.jsonl",
        LINE + '{"id": true, "text": "B."}\n',
        ["t.jsonl, line 2, column 'id': True", "Fix: give"],
    ),
    "id used twice": (
        "t.csv",
        HEAD + "a,A.,1,\nb,B.,1,\na,C.,1,\n",
        ["t.csv, line 4, column 'id': the id 'a'", "before, at", "t.csv, line 2, column 'id'", "Fix: remove one"],
    ),
    "blank text": (
        "t.csv",
        HEAD + "a,\t,1,\nb,B.,1,\n",
        ["t.csv, line 2, column 'text': '\\t' is blank", "Fix: write"],
    ),
    "text left out": (
        "t.jsonl",
        '\n{"id": "b"}\n' + LINE,
        ["t.jsonl, line 2, column 'text': None", "Fix: write the text"],
    ),
    "word for a number": (
        "t.csv",
        HEAD + "a,A.,1,\nb,B.,two,\n",
        ["t.csv, line 3, column 'minutes': 'two' is not a finite number", "or leave the cell empty"],
    ),
    "infinite number": (
        "t.csv",
        HEAD + "a,A.,1,\nb,B.,-inf,\n",
        ["t.csv, line 3, column 'minutes': '-inf'", "Fix: write"],
    ),
    "written nan": (
        "t.csv",
        HEAD + "a,A.,nan,\nb,B.,1,\n",
        ["t.csv, line 2, column 'minutes': 'nan'", "Fix: write one"],
    ),
    "NaN of JSON": (
        "t.jsonl",
        LINE + '{"id": "b", "text": "B.", "published": NaN}\n',
        ["t.jsonl, line 2, column 'published': 'NaN'", "Fix: write one"],
    ),
    "true for a number": (
        "t.jsonl",
        LINE + '{"id": "b", "text": "B.", "rating": true}\n',
        ["t.jsonl, line 2, column 'rating': True", "Fix: write one"],
    ),
    "no length": (
        "t.csv",
        HEAD + "a,A.,,\nb,B.,-0.5,\nc,C.,-1,\n",
        ["t.csv, line 3, column 'minutes': -0.5 is not allowed", "above 0"],
    ),
    "all cells empty": (
        "t.csv",
        HEAD + "a,A.,,\nb,B.,,\n",
        ["t.csv, column 'minutes': all cells are empty", "Fix: fill"],
    ),
    "topics no list": (
        "t.jsonl",
        LINE + '{"id": "b", "text": "B.", "topics": {"x": 1}}\n',
        ["t.jsonl, line 2, column 'topics': {'x': '1'} is no list", "separated by '|'"],
    ),
    "topic no text": (
        "t.jsonl",
        LINE + '{"id": "b", "text": "B.", "topics": ["x", null]}\n',
        ["t.jsonl, line 2, column 'topics': ['x', None] is no list", "separated by '|'"],
    ),
    "too many cells": (
        "t.csv",
        HEAD + "a,A.,1,\nb,B,b.,1,\n",
        ["t.csv, line 3", "5 cells under 4 columns", "quote cells"],
    ),
    "too few cells": ("t.csv", HEAD + "a,A.,1\n", ["t.csv, line 2", "3 cells under 4 columns", "quote cells"]),
    "open quote": ("t.csv", HEAD + 'a,A.,1,\nb,"B.,1,\nc,C.,1,\n', ["t.csv, line 3: broken CSV", "quote cells"]),
    "open quote in the last cell": (
        "t.csv",
        HEAD + 'a,A.,1,\nb,B.,1,"x\n',
        ["t.csv, line 3: broken CSV", "quote cells"],
    ),
    "quote within a cell": ("t.csv", HEAD + 'a,"A"B.,1,\nb,B.,1,\n', ["t.csv, line 2: broken CSV", "quote cells"]),
    "after a cell of two lines": (
        "t.csv",
        HEAD + 'a,"A\nand\nmore.",1,\n\nb,B.,zero,\n',
        ["t.csv, line 6, column 'minutes': 'zero'", "Fix: write one"],
    ),
    "within a row of two lines": (
        "t.csv",
        HEAD + 'a,A.,1,\nb,"B\nb.",zero,\n',
        ["t.csv, line 3, column 'minutes': 'zero'"],
    ),
    "not JSON": ("t.jsonl", LINE + "{'id': 1}\n", ["t.jsonl, line 2: no JSON", "one object a line"]),
    "no object": ("t.jsonl", LINE + "[1, 2]\n", ["t.jsonl, line 2: ['1', '2'] is no object", "one object a line"]),
    "no gzip": ("t.csv.gz", HEAD, ["t.csv.gz: cannot be read", "check that its ending says what it is"]),
    "no Parquet": ("t.parquet", HEAD, ["t.parquet: cannot be read", "check that its ending says what it is"]),
}


class TestDefectsOfATable:
    @pytest.mark.parametrize("defect", TEXT_DEFECTS)
    def test_the_message_names_place_value_and_fix(self, tmp_path, defect):
        name, content, said = TEXT_DEFECTS[defect]
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(CatalogError) as error:
            Catalog.from_table(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "Fix: " in str(error.value)
        for words in said:
            assert words in str(error.value)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(CatalogError, match=r"none\.csv: no such file\. Fix: check the path"):
            Catalog.from_table(tmp_path / "none.csv")

    def test_text_that_is_not_utf8(self, tmp_path):
        (tmp_path / "t.csv").write_bytes("id,text\na,é\nb,B\n".encode("latin-1"))
        with pytest.raises(CatalogError, match=r"t\.csv: cannot be read .*UTF-8"):
            Catalog.from_table(tmp_path / "t.csv")

    @pytest.mark.parametrize("damage", [lambda whole: whole[:-12], lambda whole: whole[:10] + b"\xff" * 20])
    def test_a_damaged_gzip(self, tmp_path, damage):
        whole = gzip.compress(b"id,text\na,A.\nb,B.\n")
        (tmp_path / "t.csv.gz").write_bytes(damage(whole))
        with pytest.raises(CatalogError, match=r"t\.csv\.gz: cannot be read"):
            Catalog.from_table(tmp_path / "t.csv.gz")

    def test_a_named_column_must_exist(self, tmp_path):
        path = write(
            tmp_path / "t.csv", [{"id": "a", "text": "A.", "runtime": 5}, {"id": "b", "text": "B.", "runtime": 6}]
        )
        with pytest.raises(CatalogError, match=r"no column 'runtimes'.*minutes_column='runtime'"):
            Catalog.from_table(path, minutes_column="runtimes")

    @pytest.mark.parametrize(
        ("column", "cells", "said"),
        [
            ("id", ["a", None], "row 2, column 'id': None"),
            ("id", [1.5, 2.5], "row 1, column 'id': 1.5 is blank or no text"),
            ("text", ["A.", ""], "row 2, column 'text': ''"),
            ("minutes", [1.0, float("nan")], "row 2, column 'minutes': nan is not a finite number"),
            ("minutes", [0.0, 1.0], "row 1, column 'minutes': 0.0 is not allowed"),
            ("rating", [True, False], "row 1, column 'rating': True"),
            ("topics", [[1], [2]], "row 1, column 'topics': [1]"),
        ],
    )
    def test_parquet_names_the_row(self, tmp_path, column, cells, said):
        table = {"id": ["a", "b"], "text": ["A.", "B."]} | {column: cells}
        pq.write_table(pa.table(table), tmp_path / "t.parquet")
        with pytest.raises(CatalogError) as error:
            Catalog.from_table(tmp_path / "t.parquet")
        assert f"{tmp_path / 't.parquet'}, {said}" in str(error.value)

    def test_parquet_with_two_columns_of_one_name(self, tmp_path):
        table = pa.Table.from_arrays([pa.array(["a", "b"])] * 3, names=["id", "text", "text"])
        pq.write_table(table, tmp_path / "t.parquet")
        with pytest.raises(CatalogError, match=r"t\.parquet: cannot be read .*text.*no two columns share a name"):
            Catalog.from_table(tmp_path / "t.parquet")
