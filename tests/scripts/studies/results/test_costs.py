"""What a study costs is added up over parts and calls."""

import json
import subprocess
import sys
import time

import pytest

from longplay.scripts.studies.results.costs import COSTS, count_cost, describe_costs, read_costs


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def interrupt(folder):
    with count_cost(folder, "tuning"):
        work(0.05)
        raise KeyboardInterrupt


def test_parts_add_up_over_calls_and_interruptions_with_what_children_take(tmp_path):
    with count_cost(tmp_path, "tuning"):
        work(0.05)
    with pytest.raises(KeyboardInterrupt):
        interrupt(tmp_path)
    with count_cost(tmp_path, "training"):
        program = "import time\nwhile time.process_time() < 0.2: pass"
        subprocess.run([sys.executable, "-c", program], check=True)
    costs = read_costs(tmp_path)
    assert 0.08 < costs["tuning"] < 1.0
    assert sys.platform == "win32" or 0.15 < costs["training"] < 5.0


def test_the_sentence_names_the_whole_and_each_part(tmp_path):
    (tmp_path / COSTS).write_text(json.dumps({"fitting": 1800.0, "training": 36000.0}))
    said = describe_costs(tmp_path)
    assert said == "cost so far, hours of processor time: 10.50 (fitting 0.50, training 10.00)"
