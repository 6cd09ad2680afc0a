"""Print what is measured of the environment and beside it."""

from collections.abc import Iterable, Sequence
from typing import Any

from longplay.scripts.shared.console import console
from longplay.scripts.shared.tables import FRAMED, make_table

Row = dict[str, Any]


def print_table(title: str, columns: str, rows: Iterable[Sequence[str]], left: int = 0) -> None:
    """Print a table, its first columns to the left, the others to the right."""
    console.print(make_table(title, columns.split("|"), "l" * left + "r", rows, **FRAMED))


def print_batches(rows: Sequence[Row], rounds: int) -> None:
    """The batch sizes of one world."""
    names = ("kernel", "engine", "observation", "step")
    cells = []
    for row in rows:
        kernel, engine, *rest = (f"{row[name] / 1e6:.2f}" if name in row else "–" for name in names)
        ratio = f"{row['engine'] / row['kernel']:.2f}"
        cells.append((f"{row['users']:,}", kernel, engine, ratio, *rest, f"{row['bytes']:,}"))
    title = f"million user-steps a second on one thread, best of {rounds} rounds"
    print_table(title, "users|kernel|engine|÷ kernel|+ observation|env.step|bytes a user", cells)


def print_wrappers(rates: dict[str, float]) -> None:
    """One user, with and without Gymnasium's wrappers, and Gymnasium's smallest environment beside it."""
    wrapped, bare, pole = (1e6 / rates[name] for name in ("make", "environment", "CartPole-v1"))
    console.print(
        f"one user through gymnasium.make: {wrapped:.1f} µs a step, {bare:.1f} without Gymnasium's wrappers; "
        f"through the same call CartPole-v1 takes {pole:.1f} µs"
    )


def print_crowded(row: Row) -> None:
    """The engine beside busy processes."""
    (quiet, quiet_wall), (busy, busy_wall) = row["quiet"], row["busy"]
    console.print(
        f"engine, {row['users']:,} users, beside {row['processes']} busy processes: {busy / 1e6:.2f} million a second "
        f"of processor time ({quiet / 1e6:.2f} without them), {busy_wall / 1e6:.2f} by the clock "
        f"({quiet_wall / 1e6:.2f} without them)"
    )


def print_first_step(seconds: dict[str, float]) -> None:
    """From the start of the interpreter to the end of the first step."""
    console.print(
        f"from `python` to the end of the first step: {seconds['cold']:.1f} s of processor time where nothing is "
        f"compiled or built yet, {seconds['warm']:.1f} s afterwards"
    )


def print_peers(rows: Sequence[Row], skipped: dict[str, str], own: Sequence[Row]) -> None:
    """Other simulators, and how many times faster this one is at its best batch size; below 1 it is slower."""
    best = [max(row[name] for row in own) for name in ("engine", "step")]
    cells = []
    for row in rows:
        speed = row["steps_per_second"]
        times = (f"{ours / speed:,.0f}" if ours >= 10 * speed else f"{ours / speed:.2f}" for ours in best)
        name = f"{row['peer']}: {row['way']}"
        cells.append((name, f"{row['users']:,}", f"{row['items']:,}", f"{speed / 1e3:,.1f}", *times))
    if cells:
        columns = "simulator|users|items|rate|engine ÷ it|env.step ÷ it"
        print_table("thousand user-steps a second on one thread, other simulators", columns, cells, left=1)
    for note in dict.fromkeys(f"{row['peer']} {row['version']}, {row['way']}: {row['note']}" for row in rows):
        console.print(note, markup=False)
    for name, why in skipped.items():
        console.print(f"{name} skipped; {why}", markup=False)
