"""Other simulators beside ours: installing, running, reading, skipping; and what else the benchmark measures."""

import ast
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from longplay.envs.make import make_world
from longplay.scripts.bench import environment as bench
from longplay.scripts.bench import peers
from longplay.scripts.bench import tables as speed_tables
from longplay.scripts.bench.peers import (
    PEERS,
    STAMP,
    Peer,
    SkippedError,
    measure_peer,
    parse_rows,
    prepare_environment,
    run_process,
)
from longplay.scripts.bench.workers import simulators

PEER = Peer("Some Sim", ("one==1.0", "two==2.0"), ("old==0.1",))
ROW = {
    "peer": "Some Sim",
    "version": "1.0",
    "way": "users alone",
    "users": 64,
    "slate": 10,
    "items": 100,
    "steps_per_second": 2000.0,
    "note": "as by default",
}
LINE = json.dumps(ROW)


class FakeInstall:
    """Takes the place of `peers.run`: keeps the commands, and makes the environment's Python."""

    def __init__(self, fails=""):
        self.commands, self.fails = [], fails

    def __call__(self, command, limit):
        self.commands.append([str(word) for word in command])
        if "venv" in self.commands[-1]:
            binaries = Path(command[-1]) / "bin"
            binaries.mkdir(parents=True, exist_ok=True)
            (binaries / "python").touch()
        if self.fails and self.fails in self.commands[-1]:
            raise SkippedError("exit code 1: ERROR: No matching distribution")
        return ""


@pytest.fixture
def install(monkeypatch):
    fake = FakeInstall()
    monkeypatch.setattr(peers, "run_process", fake)
    return fake


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Make this Python run a program in the worker's place."""

    def make(source):
        program = tmp_path / "worker.py"
        program.write_text(source)
        monkeypatch.setattr(peers, "WORKER", program)
        monkeypatch.setattr(peers, "prepare_environment", lambda peer, folder: Path(sys.executable))

    return make


@pytest.fixture(scope="module")
def world(place):
    return make_world(str(place / "small.toml"), place / "items.csv")


class TestRun:
    def test_gives_what_the_command_prints_and_not_its_warnings(self):
        code = "import sys; print('rate'); print('beware', file=sys.stderr)"
        assert run_process([sys.executable, "-c", code], 60) == "rate\n"

    def test_on_one_thread(self):
        code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])"
        assert run_process([sys.executable, "-c", code], 60) == "1 1\n"

    def test_a_failure_is_told_by_its_error_line(self):
        code = "import sys; print('ERROR: no such package\\n\\nnotice: a newer pip\\n', file=sys.stderr); sys.exit(3)"
        with pytest.raises(SkippedError, match=r"^exit code 3: ERROR: no such package$"):
            run_process([sys.executable, "-c", code], 60)

    def test_else_by_its_last_line(self):
        with pytest.raises(SkippedError, match=r"^exit code 1: ValueError: odd$"):
            run_process([sys.executable, "-c", "raise ValueError('odd')"], 60)

    def test_a_silent_failure_is_told(self):
        with pytest.raises(SkippedError, match=r"^exit code 4: no message$"):
            run_process([sys.executable, "-c", "raise SystemExit(4)"], 60)

    def test_what_takes_too_long_is_ended_with_all_that_it_started(self):
        # The child holds the pipe: were it left alive, reading would wait for it.
        child = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'import time; time.sleep(60)'])"
        start = time.monotonic()
        with pytest.raises(SkippedError, match=r"took more than 0\.5 s"):
            run_process([sys.executable, "-c", child], 0.5)
        assert time.monotonic() - start < 30

    def test_what_is_not_there_cannot_start(self, tmp_path):
        with pytest.raises(SkippedError, match="cannot start"):
            run_process([tmp_path / "nothing"], 60)


class TestPrepare:
    def test_installs_what_is_pinned_and_then_what_goes_alone(self, install, tmp_path):
        python = prepare_environment(PEER, tmp_path)
        assert python == tmp_path / "some-sim" / "bin" / "python"
        venv, pinned, alone = install.commands
        assert venv == [sys.executable, "-m", "venv", "--clear", str(tmp_path / "some-sim")]
        assert pinned[0] == alone[0] == str(python)
        assert pinned[-2:] == ["one==1.0", "two==2.0"]
        assert alone[-2:] == ["--no-deps", "old==0.1"]

    def test_nothing_alone_is_not_asked_for(self, install, tmp_path):
        prepare_environment(Peer("Plain", ("one==1.0",)), tmp_path)
        assert [command[-1] for command in install.commands] == [str(tmp_path / "plain"), "one==1.0"]

    def test_the_second_time_nothing_is_installed(self, install, tmp_path):
        first = prepare_environment(PEER, tmp_path)
        count = len(install.commands)
        assert prepare_environment(PEER, tmp_path) == first
        assert len(install.commands) == count

    @pytest.mark.parametrize(
        "change", [Peer(PEER.name, ("one==1.1", "two==2.0"), PEER.alone), Peer(PEER.name, PEER.packages)]
    )
    def test_other_versions_are_installed_anew(self, install, tmp_path, change):
        prepare_environment(PEER, tmp_path)
        count = len(install.commands)
        prepare_environment(change, tmp_path)
        assert len(install.commands) > count

    def test_another_python_installs_anew(self, install, tmp_path, monkeypatch):
        prepare_environment(PEER, tmp_path)
        count = len(install.commands)
        monkeypatch.setattr(sys, "version", "9.9")
        prepare_environment(PEER, tmp_path)
        assert len(install.commands) == 2 * count

    def test_a_python_that_has_gone_installs_anew(self, install, tmp_path):
        prepare_environment(PEER, tmp_path).unlink()
        assert prepare_environment(PEER, tmp_path).exists()

    @pytest.mark.parametrize("step", ["venv", "two==2.0", "--no-deps"])
    def test_a_failure_leaves_nothing_behind(self, monkeypatch, tmp_path, step):
        monkeypatch.setattr(peers, "run_process", FakeInstall(step))
        with pytest.raises(SkippedError, match="No matching distribution"):
            prepare_environment(PEER, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_an_interruption_leaves_nothing_behind(self, monkeypatch, tmp_path, install):
        def interrupted(command, limit):
            if "pip" in command:
                raise KeyboardInterrupt
            return install(command, limit)

        monkeypatch.setattr(peers, "run_process", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_environment(PEER, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_the_stamp_says_what_is_installed(self, install, tmp_path):
        prepare_environment(PEER, tmp_path)
        said = (tmp_path / "some-sim" / STAMP).read_text()
        assert said.endswith("one==1.0\ntwo==2.0\nold==0.1")
        assert not list((tmp_path / "some-sim").glob("*.new"))


class TestParse:
    def test_reads_every_row_and_leaves_out_other_lines(self):
        output = f"a library says hello\n{LINE}\n\n{LINE}\n"
        assert parse_rows(output, "Some Sim") == [ROW, ROW]

    @pytest.mark.parametrize(("output", "said"), [("", "no result"), ("done\n", "no result"), ("{oops", "no JSON")])
    def test_garbage_is_refused(self, output, said):
        with pytest.raises(SkippedError, match=said):
            parse_rows(output, "Some Sim")

    @pytest.mark.parametrize("name", list(peers.FIELDS))
    def test_every_field_is_needed(self, name):
        short = {key: value for key, value in ROW.items() if key != name}
        with pytest.raises(SkippedError, match=f"printed {name} = None"):
            parse_rows(json.dumps(short), "Some Sim")

    @pytest.mark.parametrize("change", [{"users": "64"}, {"note": 3}, {"steps_per_second": "fast"}])
    def test_types_are_checked(self, change):
        with pytest.raises(SkippedError, match=f"printed {next(iter(change))} = "):
            parse_rows(json.dumps(ROW | change), "Some Sim")

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_speed_is_a_positive_number(self, speed):
        with pytest.raises(SkippedError, match="steps_per_second"):
            parse_rows(json.dumps(ROW | {"steps_per_second": speed}), "Some Sim")

    def test_rows_are_the_peers_own(self):
        with pytest.raises(SkippedError, match="a row of Some Sim"):
            parse_rows(LINE, "Other")


class TestMeasure:
    def test_gives_the_rows(self, worker):
        worker(f"import sys; print({LINE!r}); print(sys.argv[1:])")
        assert measure_peer(PEER, 0.1, 2) == ([ROW], "")

    def test_the_worker_is_told_peer_seconds_and_rounds(self, worker):
        worker(f"import json, sys; print(json.dumps({ROW!r} | {{'note': '|'.join(sys.argv[1:])}}))")
        (row,), _ = measure_peer(PEER, 0.1, 2)
        assert row["note"] == "Some Sim|0.1|2"

    def test_the_worker_does_not_find_the_modules_beside_it(self, worker, tmp_path):
        (tmp_path / "common.py").touch()
        worker("import common")
        assert measure_peer(PEER, 0.1, 2) == (
            [],
            "does not run: exit code 1: ModuleNotFoundError: No module named 'common'",
        )

    def test_garbage_is_a_reason_to_skip(self, worker):
        worker("print('ready')")
        assert measure_peer(PEER, 0.1, 2) == ([], "does not run: printed no result")

    def test_so_is_too_long_a_time(self, worker):
        worker("import time; time.sleep(60)")
        assert measure_peer(PEER, 0.1, 2, limit=0.5) == ([], "does not run: took more than 0.5 s")

    def test_and_a_failed_installation(self, monkeypatch, tmp_path):
        monkeypatch.setattr(peers, "run_process", FakeInstall("one==1.0"))
        rows, why = measure_peer(PEER, 0.1, 2, tmp_path)
        assert not rows
        assert why == "not installed: exit code 1: ERROR: No matching distribution"

    def test_and_a_folder_that_cannot_be_written(self, install, tmp_path):
        (tmp_path / "file").touch()
        rows, why = measure_peer(PEER, 0.1, 2, tmp_path / "file")
        assert not rows
        assert why.startswith("not installed: ")

    def test_one_that_fails_does_not_hide_the_others(self, monkeypatch):
        found = {"SARDINE": ([ROW], ""), "T-RECS": ([], "not installed: why")}
        monkeypatch.setattr(peers, "measure_peer", lambda peer, seconds, rounds: found.get(peer.name, ([], "")))
        assert peers.measure_all(0.1, 2) == ([ROW], {"T-RECS": "not installed: why"})


class TestWorker:
    def test_it_knows_every_peer(self):
        assert set(simulators.PEERS) == {peer.name for peer in PEERS}

    def test_every_version_is_pinned(self):
        assert all("==" in package for peer in PEERS for package in (*peer.packages, *peer.alone))
        assert len({peer.folder for peer in PEERS}) == len(PEERS)
        for peer in PEERS:
            package, _ = simulators.PEERS[peer.name]
            assert any(pin.startswith(f"{package}==") for pin in (*peer.packages, *peer.alone))

    def test_it_stands_alone(self):
        tree = ast.parse(peers.WORKER.read_text(encoding="utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert all(node.level == 0 for node in froms)
        used = {name.split(".")[0] for name in names | {node.module for node in froms}}
        assert used <= {*sys.stdlib_module_names, "numpy"}

    @pytest.mark.parametrize(("users", "items"), [(1, 10), (3, 100), (64, 1000)])
    def test_slates_have_ten_different_items(self, users, items):
        stream = simulators.make_slates(users, items)
        for _ in range(simulators.STREAM + 1):
            slate = next(stream)
            assert slate.shape == (users, 10)
            assert slate.min() >= 0
            assert slate.max() < items
            assert all(len(set(row)) == 10 for row in slate)

    def test_a_rate_counts_users_and_steps(self):
        calls = []
        case = simulators.Case("", 50, 100, lambda: calls.append(time.process_time()), "", steps=4)
        speed = simulators.measure_rate(case, 0.02, 1)
        assert speed == pytest.approx(200 * (len(calls) - 1) / 0.02, rel=0.2)

    def test_an_episode_that_ended_is_followed_by_the_next(self):
        ends, resets = iter([False, True, False]), []
        step = simulators.make_episodic(lambda action: (action, next(ends)), lambda: resets.append(1), 1, iter("abc"))
        counts = []
        for _ in range(3):
            step()
            counts.append(len(resets))
        assert counts == [0, 1, 1]

    def test_it_prints_the_fastest_batch_of_each_way_and_number_of_items(self, monkeypatch, capsys):
        speeds = {("a", 1, 10): 5.0, ("a", 8, 10): 7.0, ("a", 64, 10): 6.0, ("a", 1, 20): 3.0, ("b", 1, 10): 4.0}
        cases = [simulators.Case(way, users, items, lambda: None, "n") for way, users, items in speeds]
        monkeypatch.setattr(simulators, "PEERS", {"Some Sim": ("numpy", lambda: iter(cases))})
        monkeypatch.setattr(
            simulators, "measure_rate", lambda case, seconds, rounds: speeds[case.way, case.users, case.items]
        )
        simulators.main("Some Sim", 0.1, 2)
        rows = parse_rows(capsys.readouterr().out, "Some Sim")
        found = [(row["way"], row["users"], row["items"], row["steps_per_second"]) for row in rows]
        assert found == [("a", 8, 10, 7.0), ("a", 1, 20, 3.0), ("b", 1, 10, 4.0)]
        assert {row["version"] for row in rows} == {np.__version__}


class TestTables:
    def test_peers_are_set_beside_the_best_of_ours(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        own = [{"engine": 1e4, "step": 5e3}, {"engine": 3e4, "step": 1e3}]
        speed_tables.print_peers(
            [ROW, ROW | {"way": "whole", "steps_per_second": 8e4}], {"X": "not installed: [why]"}, own
        )
        said = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "Some Sim: users alone 64 100 2.0 15 2.50" in said
        assert "Some Sim: whole 64 100 80.0 0.38 0.06" in said
        assert said.count("as by default") == 2
        assert said.endswith("X skipped; not installed: [why]")

    def test_no_peers_no_table(self, capsys):
        speed_tables.print_peers([], {"X": "why"}, [{"engine": 1.0, "step": 1.0}])
        assert capsys.readouterr().out == "X skipped; why\n"


class TestBench:
    def test_a_larger_world_has_the_catalogues_records(self, world):
        larger = bench.enlarge_world(world, 1000)
        assert len(larger.items) == 1001
        assert larger.items[0].tobytes() == world.items[0].tobytes()
        known = {item.tobytes() for item in world.items[1:]}
        drawn = {item.tobytes() for item in larger.items[1:]}
        assert drawn == known
        assert larger.people is world.people

    def test_the_larger_world_is_measured_without_env_step(self, world):
        assert list(bench.make_work(world, 2)[0]) == ["kernel", "engine", "observation", "step"]
        work, size = bench.make_work(bench.enlarge_world(world, 1000), 2)
        assert list(work) == ["kernel", "engine", "observation"]
        for job in work.values():
            job()
        assert size > 0

    def test_busy_processes_end_with_the_measurement(self):
        with bench.start_busy_processes(2) as started:
            assert [process.poll() for process in started] == [None, None]
        assert None not in [process.poll() for process in started]

    def test_all_figures_are_written(self, call, world, monkeypatch, tmp_path):
        monkeypatch.setattr(bench, "make_world", lambda scenario: world)
        monkeypatch.setattr(peers, "measure_all", lambda seconds, rounds: ([ROW], {"X": "not installed: why"}))
        options = "--batches 1 8 --items 500 --seconds 0.005 --rounds 1 --json out.json"
        code, output = call(bench, *options.split())
        assert code == 0
        assert "slates of 10, 500 items" in output
        assert "one user through gymnasium.make: " in output
        assert "busy processes: " in output
        assert "X skipped; not installed: why" in output
        figures = json.loads((tmp_path / "out.json").read_text())
        assert [(row["items"], row["users"]) for row in figures["speeds"]] == [(80, 1), (80, 8), (500, 1), (500, 8)]
        assert ["step" in row for row in figures["speeds"]] == [True, True, False, False]
        assert figures["peers"] == [ROW]
        assert figures["skipped"] == {"X": "not installed: why"}
        assert min(*figures["single"].values(), *figures["crowded"]["quiet"], *figures["crowded"]["busy"]) > 0
        assert [path.name for path in tmp_path.iterdir()] == ["out.json"]

    def test_no_peers_asks_for_none(self, call, world, monkeypatch, tmp_path):
        monkeypatch.setattr(bench, "make_world", lambda scenario: world)
        monkeypatch.setattr(peers, "measure_all", lambda *_: pytest.fail("asked for"))
        monkeypatch.setattr(bench, "measure_first_step", lambda: {"cold": 2.0, "warm": 1.0})
        monkeypatch.setattr(
            bench, "measure_crowded", lambda *_: {"users": 1, "processes": 1, "quiet": [1, 1], "busy": [1, 1]}
        )
        options = "--no-peers --batches 1 --items 0 --seconds 0.005 --rounds 1"
        code, output = call(bench, *options.split())
        assert code == 0
        assert "other simulators" not in output
        assert not list(tmp_path.iterdir())

    def test_a_negative_number_of_items_is_refused(self, call):
        code, output = call(bench, "--items", "-1", "--no-peers")
        assert code == 2
        assert "items = -1 must be at least 1, or 0 for no larger world" in output
