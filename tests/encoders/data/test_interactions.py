"""Cleaning row by row, the checks of a log, and histories against a slow loop."""

import dataclasses
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longplay.encoders.data.interactions import LIKED, Interactions, clean, from_table
from longplay.encoders.data.table_parsing import LogError
from longplay.envs.catalogs.table import CatalogError
from longplay.envs.shared import notices
from longplay.tests.encoders.small_logs import log_of, make_log

ITEMS = ("a", "b", "c")
COLUMNS = ("user", "item", "time", "completion", "consumed", "session", "minutes")


def table(**columns):
    return pd.DataFrame({"user": ["u", "v"], "item": ["a", "b"], "time": [1.0, 2.0], **columns})


# --- clean ---------------------------------------------------------------------------------------------------------


def test_each_defect_is_dropped_and_counted_under_its_first_reason():
    rows = [
        ("u2", "b", "12.5", "0.25"),
        ("u10", "a", "10.0", "1"),
        ("", "a", "1", "1"),
        (None, "a", "1", "1"),
        ("u2", " ", "1", "1"),
        ("u2", "zzz", "1", "1"),
        ("u2", "a", "", "1"),
        ("u2", "a", "soon", "1"),
        ("u2", "a", "inf", "1"),
        ("u2", "a", "1", None),
        ("u2", "a", "1", "much"),
        ("u2", "a", "1", "1.01"),
        ("u2", "a", "1", "-0.01"),
        ("u2", "b", "12.5", "0.75"),
        ("", "", "", ""),
    ]
    log = clean(pd.DataFrame(rows, columns=["user", "item", "time", "completion"]), ITEMS)
    assert log.report == {
        "rows": 15,
        "user_missing": 3,
        "item_missing": 1,
        "item_unknown": 1,
        "time_missing": 1,
        "time_invalid": 2,
        "completion_missing": 1,
        "completion_invalid": 1,
        "completion_out_of_range": 2,
        "duplicates": 1,
        "kept": 2,
        "users": 2,
        "items_without_rows": 1,
    }
    assert log.user_ids == ("u10", "u2")  # as texts
    assert log.user.tolist() == [0, 1]
    assert log.item.tolist() == [1, 2]
    assert log.time.tolist() == [0.0, 2.5]
    assert log.completion.tolist() == [1.0, 0.25]
    assert log.consumed.all()
    assert (log.users, log.items) == (2, 3)


cells = st.sampled_from(["", None, "a", "b", "zzz", "0.5", "1", "2", "-1", "nan", "x", "true", "0"])


@given(st.lists(st.tuples(*[cells] * 7), max_size=30))
def test_every_row_is_kept_or_counted_once(rows):
    frame = pd.DataFrame([("u", "a", "1", "1", "true", "s", ""), *rows], columns=list(COLUMNS), dtype=object)
    log = clean(frame, ITEMS)
    counts = {key: n for key, n in log.report.items() if key not in ("rows", "users", "items_without_rows")}
    assert sum(counts.values()) == log.report["rows"] == 1 + len(rows)
    assert len(log) == log.report["kept"] >= 1


def test_without_a_completion_column_all_was_consumed_whole():
    assert clean(table(), ITEMS).completion.tolist() == [1.0, 1.0]


def test_a_missing_completion_is_not_whole():
    assert clean(table(completion=[np.nan, 0.5]), ITEMS).report["completion_missing"] == 1


def test_ratings_become_shares_of_the_best():
    log = clean(table(stars=[5, 4]), ITEMS, rating="stars", best_rating=5)
    assert log.completion.tolist() == [1.0, pytest.approx(0.8)]
    assert clean(table(stars=[6, 4]), ITEMS, rating="stars", best_rating=5).report["completion_out_of_range"] == 1


def test_what_was_only_shown_needs_no_completion_and_has_none():
    frame = table(consumed=["False", "1"], completion=["", "0.5"], minutes=["7", ""])
    log = clean(frame, ITEMS)
    assert log.consumed.tolist() == [False, True]
    assert log.completion.tolist() == [0.0, 0.5]
    assert log.minutes.tolist() == [0.0, 0.0]
    assert clean(table(consumed=["perhaps", True]), ITEMS).report["consumed_invalid"] == 1


def test_of_duplicates_the_first_consumed_stays():
    frame = pd.DataFrame({"user": "u", "item": "a", "time": 1.0, "completion": [0.1, 0.2, 0.3]})
    log = clean(frame.assign(consumed=[False, True, True]), ITEMS)
    assert log.completion.tolist() == [pytest.approx(0.2)]
    assert log.report["duplicates"] == 2


def test_sessions_are_numbered_by_their_first_row():
    frame = pd.DataFrame(
        {"user": ["u", "u", "v", "u"], "item": "a", "time": [3, 1, 2, 4], "session": ["p", "q", "p", "q"]}
    )
    log = clean(frame, ITEMS)
    assert log.user.tolist() == [0, 0, 0, 1]
    assert log.session.tolist() == [0, 1, 0, 0]


def test_a_profile_is_the_earliest_known():
    frame = pd.DataFrame({"user": ["u", "u", "u", "v"], "item": "a", "time": [3, 1, 2, 1]})
    log = clean(frame.assign(profile=["later", "", " likes  sun ", None]), ITEMS)
    assert log.profiles == ("likes sun", "")


def test_units_of_time_agree():
    days = clean(table(time=[0.25, 2.0]), ITEMS)
    seconds = clean(table(time=[1_700_000_000 + 21_600, 1_700_000_000 + 172_800]), ITEMS, time_unit="seconds")
    stamps = clean(table(time=["2023-11-15T04:13:20Z", "2023-11-17T00:13:20+02:00"]), ITEMS, time_unit="iso")
    assert clean(table(time=["not", "2024-01-01"]), ITEMS, time_unit="iso").report["time_invalid"] == 1
    for log in (days, seconds, stamps):
        assert log.time.tolist() == pytest.approx([0.0, 1.75], abs=1e-9)


@pytest.fixture
def said(monkeypatch, capsys):
    """The lines that were said so far; each may be said anew."""
    monkeypatch.setattr(notices, "_SAID", set())
    return lambda: capsys.readouterr().err.splitlines()


MOMENTS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
START = 1_700_000_000  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize("unit", MOMENTS)
def test_unix_time_is_recognised_and_said(said, unit):
    """Milliseconds passed as seconds: a day spanned a thousand; seconds as days: it spanned 86,400."""
    times = [(START + second) * MOMENTS[unit] for second in (0, 43_200, 86_400)]
    log = clean(pd.DataFrame({"user": "u", "item": ["a", "b", "c"], "time": times}), ITEMS)
    assert log.time.tolist() == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
    (line,) = said()
    assert f"are read as Unix {unit}, 2023-11-14 to 2023-11-15; give the time unit if they are not" in line
    assert (
        clean(pd.DataFrame({"user": "u", "item": "a", "time": times}), ITEMS, time_unit=unit).time[-1] == log.time[-1]
    )
    assert said() == []


def test_numbers_that_date_nothing_are_days(said):
    for times in ([0.25, 2.0], [19_000, 19_001.75], [0.0, 30_000.0]):
        assert clean(table(time=times), ITEMS).time[-1] == times[1] - times[0]
    assert said() == []


@pytest.mark.parametrize("form", [list, pd.to_datetime, lambda texts: pd.to_datetime(texts).tz_localize("UTC")])
def test_dates_are_recognised(form):
    texts = ["2023-11-15T04:13:20", "2023-11-16T22:13:20"]
    assert clean(table(time=form(texts)), ITEMS).time.tolist() == pytest.approx([0.0, 1.75], abs=1e-9)


def test_a_few_wrong_times_decide_nothing(said):
    times = [0, -1, "never", *(START + 60 * minute for minute in range(997))]
    log = clean(pd.DataFrame({"user": "u", "item": "a", "time": times}), ITEMS)
    assert log.report["time_invalid"] == 1
    assert log.time[-1] - log.time[2] == pytest.approx(996 / 1440, abs=1e-6)
    assert len(said()) == 1


@pytest.mark.parametrize(
    ("unit", "times", "message"),
    [
        (
            "seconds",
            [START * 1000, START * 1000 + 86_400_000],
            r"such as 17\d+ are not seconds\. Fix: give the time unit 'mil",
        ),
        (
            "days",
            [START, START + 86_400],
            r"times such as 170\d+ are not days\. Fix: .*'seconds', .* from 2023-11-14 to 2023-11-15",
        ),
        ("iso", [START, START + 86_400], r"are not iso\. Fix: give the time unit 'seconds'"),
        ("milliseconds", [START, START + 86_400], r"are not milliseconds\. Fix: give the time unit 'seconds'"),
        (
            "auto",
            [0, 86_400 * 30],
            r"from 0 to 2592000 are 2,592,000 days when read as days; .*'seconds' \(30.0 days\)",
        ),
        ("auto", [20240131, 20240201], r"times such as 20240\d+ are dates, not days\. Fix: give the time unit 'iso'"),
    ],
)
def test_times_that_cannot_be_in_a_unit_are_refused_with_the_one_that_fits(unit, times, message):
    for form in (int, str):
        with pytest.raises(LogError, match=message):
            clean(table(time=[form(time) for time in times]), ITEMS, time_unit=unit)


def test_times_since_the_start_of_a_log_are_taken_as_said(said):
    assert clean(table(time=[0, 1_300_000_000]), ITEMS, time_unit="milliseconds").time[-1] == pytest.approx(
        15.0463, abs=1e-4
    )
    assert clean(table(time=[0, 2_592_000]), ITEMS, time_unit="seconds").time[-1] == 30.0
    assert said() == []


def test_watch_ratios_above_one_are_clipped_by_choice(said):
    """As where what was watched twice counts twice, 7 of 24 rows."""
    shares = [1.5] * 7 + [0.5] * 16 + [-0.5]
    frame = pd.DataFrame({"user": "u", "item": "a", "time": range(24), "completion": shares})
    kept = clean(frame, ITEMS, completion_above_one="clip")
    assert (kept.report["completion_clipped"], kept.report["completion_out_of_range"], len(kept)) == (7, 1, 23)
    assert sorted(set(kept.completion.tolist())) == [0.5, 1.0]
    said()
    dropped = clean(frame, ITEMS)
    assert (dropped.report["completion_out_of_range"], len(dropped)) == (8, 16)
    assert "completion_clipped" not in dropped.report
    (line,) = said()
    assert line == (
        "longplay: the log lost 8 of 24 rows, 33.3%, to completion_out_of_range (shares are from 0 to 1; those above, "
        "of items watched again, are kept as 1 with completion_above_one='clip' (--completion-above-one clip); "
        "ratings and percentages need rating and best_rating (--rating, --best-rating))"
    )
    with pytest.raises(LogError, match=r"completion_above_one 'cut' is unknown\. Fix: give one of 'drop', 'clip'"):
        clean(frame, ITEMS, completion_above_one="cut")


def test_a_reason_is_said_where_it_takes_more_than_two_percent(said):
    frame = pd.DataFrame({"user": "u", "item": ["a"] * 98 + ["zzz"] * 2, "time": range(100)})
    clean(frame, ITEMS)
    assert said() == []
    clean(pd.concat([frame, frame.tail(1).assign(time=200)]), ITEMS)
    (line,) = said()
    assert line.startswith(
        "longplay: the log lost 3 of 101 rows, 3.0%, to item_unknown (the catalogue lacks these items"
    )


def test_whole_numbers_with_gaps_are_ids_as_written():
    log = clean(pd.DataFrame({"user": [7.0, np.nan], "item": [1.0, 2.0], "time": [0, 1]}), ("1", "2"))
    assert log.user_ids == ("7",)
    assert log.item.tolist() == [1]


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(random):
    log = make_log(rows=60)
    frame = pd.DataFrame({name: getattr(log, name) for name in COLUMNS}).astype({"user": str, "item": str})
    frame = frame.drop_duplicates(["user", "time"]).drop(columns="session")
    mixed = frame.sample(frac=1.0, random_state=random.randrange(2**31))
    first, second = clean(frame, list("123456789")), clean(mixed, list("123456789"))
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.user_ids == second.user_ids


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (table(), {"user": "usr"}, r"no column 'usr' among .*user='user'"),
        (table(), {"time_unit": "hours"}, "time_unit 'hours' is unknown"),
        (table(), {"unknown_items": "keep"}, "unknown_items 'keep' is unknown"),
        (table(), {"rating": "stars"}, "do not fit together"),
        (table(stars=1), {"rating": "stars", "best_rating": 0}, "do not fit together"),
        (table(stars=1), {"rating": "stars", "best_rating": 5, "completion": "stars"}, "do not fit together"),
        (table(item="q"), {}, r"no row is left of 2 \(item_unknown: 2\)"),
        (table(item=["a", "q"]), {"unknown_items": "error"}, "row 2: item 'q' is not in item_ids"),
        (table()[:0], {}, "no row is left of 0"),
    ],
)
def test_bad_tables_are_refused(frame, options, message):
    with pytest.raises(CatalogError, match=message):
        clean(frame, ITEMS, **options)


def test_an_item_id_must_not_come_twice():
    with pytest.raises(LogError, match="'a' comes twice"):
        clean(table(), ("a", "b", "a"))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
def test_all_kinds_of_files_give_the_same_log(tmp_path, ending):
    frame = table(completion=[0.5, 1.0], user=["007", "7"])
    path = tmp_path / f"log{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        lines = (json.dumps(row) + "\n" for row in frame.to_dict("records"))
        text = frame.to_csv(index=False) if "csv" in ending else "".join(lines)
        path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    log = from_table(path, ITEMS)
    assert log.user_ids == ("007", "7")
    assert log.item.tolist() == [1, 2]
    assert log.completion.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("user,item,time\nu,a,1,5\n", "more cells than the header's 3"),
        ("user,item,time\nu,a,1\nu,a,2,3\n", "cannot be read"),
        ("user,item,time,item\nu,a,1,b\n", "columns share a name"),
        ("user,item\nu,a\n", "no column 'time'"),
    ],
)
def test_broken_csv_files_are_refused(tmp_path, content, message):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(CatalogError, match=message):
        from_table(path, ITEMS)


def test_what_a_short_line_lacks_is_missing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\ufeffuser,item,time\nu,a\nu,a,2\n", encoding="utf-8")
    assert from_table(path, ITEMS).report["time_missing"] == 1


def test_a_file_that_is_no_gzip_is_refused(tmp_path):
    path = tmp_path / "log.csv.gz"
    path.write_text("user,item,time\nu,a,1\n")
    with pytest.raises(LogError, match="cannot be read"):
        from_table(path, ITEMS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"log\.csv: no such file"):
        from_table(tmp_path / "log.csv", ITEMS)


# --- Interactions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": [0, 1]}, "field 'item', row 0: 0 is not allowed"),
        ({"item": [1, 6]}, "field 'item', row 1: 6 is not allowed"),
        ({"user": [0, 3]}, "field 'user', row 1: 3"),
        ({"time": [0.0, np.nan]}, "field 'time', row 1: nan"),
        ({"completion": [0.5, 1.5]}, "field 'completion', row 1: 1.5"),
        ({"minutes": [-1.0, 0.0]}, "field 'minutes', row 0: -1"),
        ({"session": [-1, 0]}, "field 'session', row 0: -1"),
        ({"time": [1.0]}, r"field 'time': shape \(1,\)"),
        ({"user": [1, 0]}, "row 1 comes before row 0"),
        ({"time": [2.0, 1.0]}, "row 1 comes before row 0"),
        ({"consumed": [True, False]}, "row 1 was only shown"),
        ({"profiles": ("",)}, "field 'profiles': length 1"),
        ({"item_ids": ("a",)}, "field 'item_ids': length 1"),
    ],
)
def test_a_log_is_checked(change, message):
    log = log_of([(0, 1, 0.0, 1.0), (0, 2, 1.0, 1.0)])
    with pytest.raises(LogError, match=message):
        dataclasses.replace(log, **change)


def test_a_log_is_read_only_and_leaves_what_it_was_given_alone():
    mine = np.array([0.5, 0.5], np.float32)
    log = dataclasses.replace(log_of([(0, 1, 0.0, 1.0), (0, 2, 1.0, 1.0)]), completion=mine)
    mine[0] = 0.0
    assert log.completion[0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        log.item[0] = 2
    assert repr(log) == "Interactions(2 rows, 3 users, 5 items)"


def test_liked_means_consumed_by_half():
    log = log_of([(0, 1, 0.0, LIKED), (0, 2, 1.0, LIKED - 0.01), (0, 3, 2.0, None)])
    assert log.liked.tolist() == [True, False, False]


def test_taking_rows_keeps_numbers_and_order():
    log = make_log()
    mask = log.time < 10
    by_mask, by_index = log.take(mask), log.take(np.flatnonzero(mask)[::-1])
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(by_mask, name), getattr(log, name)[mask])
        np.testing.assert_array_equal(getattr(by_index, name), getattr(log, name)[mask])
    assert (by_mask.users, by_mask.items, by_mask.user_ids) == (log.users, log.items, log.user_ids)
    assert len(log.take([])) == 0
    with pytest.raises(LogError, match="mask of rows"):
        log.take(np.ones(3, bool))


# --- histories -----------------------------------------------------------------------------------------------------


def slow_history(log: Interactions, user, before, length, exclude):
    rows = [
        (log.item[r], log.completion[r], np.float32(before - log.time[r]))
        for r in range(len(log))
        if log.user[r] == user and log.consumed[r] and log.time[r] < before and not exclude[log.item[r]]
    ][::-1][:length]
    return np.array(rows + [(0, 0, 0)] * (length - len(rows)), np.float32).T


@given(st.integers(0, 99), st.integers(0, 80), st.integers(1, 30), st.booleans(), st.data())
def test_histories_equal_a_slow_loop(seed, rows, length, leave_out, data):
    log = make_log(seed, users=5, rows=rows, days=4)
    users = data.draw(st.lists(st.integers(0, 4), max_size=8))
    before = np.array([data.draw(st.integers(-1, 100)) / 24.0 for _ in users])
    exclude = np.zeros(log.items + 1, bool)
    exclude[[2, 5]] = leave_out
    found = log.histories(users, before, length, exclude_items=exclude if leave_out else None)
    assert list(found) == ["history_ids", "history_completion", "history_age"]
    for array in found.values():
        assert array.dtype == np.float32
        assert array.shape == (len(users), length)
    for b, user in enumerate(users):
        expected = slow_history(log, user, before[b], length, exclude)
        np.testing.assert_array_equal(np.stack([array[b] for array in found.values()]), expected)


def test_a_history_is_strictly_before():
    log = log_of([(0, 1, 1.0, 0.25), (0, 2, 2.0, 1.0), (0, 3, 2.0, None)])
    assert log.histories([0], 2.0, 3)["history_ids"].tolist() == [[1, 0, 0]]
    late = log.histories([0, 1], 3.5, 3)
    assert late["history_ids"].tolist() == [[2, 1, 0], [0, 0, 0]]
    assert late["history_completion"].tolist() == [[1.0, 0.25, 0.0], [0.0] * 3]
    assert late["history_age"].tolist() == [[1.5, 2.5, 0.0], [0.0] * 3]


@pytest.mark.parametrize(
    ("users", "before", "length"), [([3], 1.0, 5), ([-1], 1.0, 5), ([0], np.nan, 5), ([0], 1.0, 0), ([[0]], 1.0, 5)]
)
def test_bad_questions_are_refused(users, before, length):
    with pytest.raises(LogError, match="Fix"):
        log_of([(0, 1, 0.0, 1.0)]).histories(users, before, length)


@pytest.mark.parametrize("unit", ["auto", "days", "seconds", "milliseconds"])
def test_times_of_two_units_are_refused_whatever_unit_is_given(unit):
    times = [1.7e9 + 3600 * k for k in range(50)] + [1.7e12 + 3.6e6 * k for k in range(50)]
    frame = pd.DataFrame({"user": "u", "item": "a", "time": times})
    with pytest.raises(LogError, match=r"times mix units: .*, 50% in seconds and 50% in milliseconds are of our time"):
        clean(frame, ITEMS, time_unit=unit)


def test_a_clock_of_ones_own_may_pass_through_the_numbers_of_our_time():
    times = np.linspace(0.0, 1.5e12, 200)  # in microseconds, 17 days from the start of the recording
    assert clean(pd.DataFrame({"user": "u", "item": "a", "time": times}), ITEMS, time_unit="microseconds").time[-1] > 17
