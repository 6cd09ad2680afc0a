"""What a study costs: processor time by part, over all calls of its command."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longplay.envs.shared.files import write_whole

COSTS = "costs.json"


@contextmanager
def count_cost(folder: Path, part: str) -> Iterator[None]:
    """Add what a block takes to the cost of a part of the study in a folder, also where it is interrupted.

    Counted are this process and those that it has started and that have ended, as far as the system tells.
    """
    before = _measure_seconds()
    try:
        yield
    finally:
        costs = read_costs(folder)
        costs[part] = costs.get(part, 0.0) + _measure_seconds() - before
        write_whole(folder / COSTS, json.dumps(costs, indent=1) + "\n")


def read_costs(folder: Path) -> dict[str, float]:
    """Seconds of processor time by part; empty where nothing has been counted."""
    file = folder / COSTS
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def describe_costs(folder: Path) -> str:
    """The costs in a sentence."""
    costs = read_costs(folder)
    parts = ", ".join(f"{part} {seconds / 3600:.2f}" for part, seconds in costs.items())
    return f"cost so far, hours of processor time: {sum(costs.values()) / 3600:.2f} ({parts})"


def _measure_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
