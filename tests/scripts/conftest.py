"""A folder to run scripts in, with a small catalogue and scenario as a user would write them."""

import csv
import os
import sys

import numpy as np
import pytest
import torch

from longplay.envs.shared.compiled import cache_folder
from longplay.scripts.shared.console import run_command
from longplay.tests.envs.worlds import make_catalog

SCENARIO = """
base = "video"

[shape]
users = 200
candidates = 40

[horizon]
days = 4.0
"""


# The same, where impressions leave a trace.
TRACED = f"""{SCENARIO}
[impression]
weight = 0.5
memory = 128

[repeat]
recovery = 60.0

[candidates]
order = "luck"
"""


def furnish(folder):
    """Write catalogue and scenarios into a folder.

    They are ``items.csv``, the same as ``goods.csv`` under other names of columns, ``small.toml`` and
    ``remembering.toml``.
    """
    catalog = make_catalog(80)
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "topics", "minutes", "popularity"])
        for i in range(len(catalog)):
            topics = "|".join(catalog.topics[i])
            popularity = np.round(100 * catalog.popularity[i], 3)
            writer.writerow([catalog.ids[i], catalog.texts[i], topics, round(catalog.minutes[i], 2), popularity])
    content = (folder / "items.csv").read_text(encoding="utf-8")
    (folder / "goods.csv").write_text(content.replace("id,text", "sku,words", 1), encoding="utf-8")
    (folder / "small.toml").write_text(SCENARIO)
    (folder / "remembering.toml").write_text(TRACED)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """What all commands keep for each other, with the loops that are compiled already."""
    folder, loops = tmp_path_factory.mktemp("cache"), cache_folder().parent
    loops.mkdir(parents=True, exist_ok=True)
    (folder / "compiled").symlink_to(loops)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory, cache):
    """The folder, of each file of tests its own, so that names below runs/ do not meet; the cache is that of all."""
    folder = tmp_path_factory.mktemp("place")
    furnish(folder)
    (folder / "cache").symlink_to(cache)
    return folder


@pytest.fixture(scope="session")
def environment(cache):
    """Of a script's own process."""
    return {
        **os.environ,
        "LONGPLAY_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GOMP_SPINCOUNT": "0",
        "PYTHONWARNINGS": "default",
        "COLUMNS": "80",
    }


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run a script's command line in this process, in an empty folder; gives its exit code and its words."""

    def run(script, *arguments, folder=tmp_path):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", [f"{script.__name__.split('.')[-1]}.py", *map(str, arguments)])
        threads = torch.get_num_threads()
        code = 0
        try:
            run_command(script.main, script.Arguments)
        except SystemExit as end:
            code = end.code
        finally:
            torch.set_num_threads(threads)
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).replace("│", " ").split())

    return run
