"""How long work tells how far it is."""

from collections.abc import Callable, Mapping

# Called now and then with numbers by name, such as ``{"step": 3.0, "steps": 10.0, "loss": 0.7}``.
ProgressCallback = Callable[[Mapping[str, float]], object]


def ignore_progress(numbers: Mapping[str, float]) -> None:
    """Tell nobody."""
