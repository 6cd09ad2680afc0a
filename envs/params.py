"""Scenarios: frozen, validated parameters of a world, each with its source.

A scenario is a TOML file. Every constant is written ``name = { value = ..., range = [low, high], source = "..." }``:
the value in force, the range that is plausible (what a sensitivity study sweeps) and where it comes from: fitted from a
named log, taken from a paper, or "assumed". A user's own file, or a dictionary of overrides, may give plain numbers.
"""

import difflib
import functools
import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Params(NamedTuple):
    """What the dynamics read, one field a constant; ``group_name`` here is ``[group] name`` in the TOML file."""

    taste_weight: float
    taste_text_share: float
    taste_focus: float
    taste_drift: float
    items_substance_noise: float
    items_appeal_noise: float
    items_shortest: float
    items_longest: float
    momentum_weight: float
    satiation_sensitivity: float
    satiation_sensitivity_spread: float
    satiation_recovery: float
    satiation_recovery_spread: float
    satiation_seen: float
    repeat_penalty: float
    repeat_memory: float
    choice_appeal: float
    choice_nothing: float
    choice_position: float
    dwell_base: float
    dwell_utility: float
    dwell_noise: float
    satisfaction_base: float
    satisfaction_substance: float
    satisfaction_appeal: float
    satisfaction_skip: float
    satisfaction_rate: float
    fatigue_skip: float
    time_glance: float
    time_pace: float
    leave_beta_a: float
    leave_beta_b: float
    leave_fatigue: float
    leave_fatigue_pivot: float
    leave_satisfaction: float
    leave_satisfaction_pivot: float
    leave_skips: float
    trust_start: float
    trust_rate: float
    churn_base: float
    churn_trust: float
    churn_trust_pivot: float
    churn_visits: float
    gap_location: float
    gap_scale: float
    gap_between_users: float
    gap_trust: float
    day_chronotype: float
    horizon_days: float
    position: NDArray[np.float64]  # (K,) position discount, derived
    hours: NDArray[np.float64]  # (24,) activity by hour of the day, mean 1


# What is allowed (not what is plausible): (low, high, unit).
LIMITS: dict[str, tuple[float, float, str]] = {
    "taste_weight": (0, 20, "utility per unit of cosine"),
    "taste_text_share": (0, 1, "share of variance"),
    "taste_focus": (0, 100, "inverse temperature"),
    "taste_drift": (0, 1, "standard deviation per square root of a day"),
    "items_substance_noise": (0, 1, "share of variance"),
    "items_appeal_noise": (0, 1, "share of variance"),
    "items_shortest": (0.1, 600, "minutes"),
    "items_longest": (0.1, 600, "minutes"),
    "momentum_weight": (-5, 5, "utility"),
    "satiation_sensitivity": (0, 10, "utility per unit of exposure, median over users"),
    "satiation_sensitivity_spread": (0, 3, "standard deviation of its logarithm"),
    "satiation_recovery": (1e-3, 365, "days, median over users"),
    "satiation_recovery_spread": (0, 3, "standard deviation of its logarithm"),
    "satiation_seen": (0, 1, "exposures"),
    "repeat_penalty": (0, 20, "utility"),
    "repeat_memory": (0, 1000, "items"),
    "choice_appeal": (0, 10, "log weight per standard deviation of appeal"),
    "choice_nothing": (-20, 20, "log weight of choosing nothing"),
    "choice_position": (0, 5, "exponent of the position discount"),
    "dwell_base": (-20, 20, "logit of completion"),
    "dwell_utility": (0, 10, "logit of completion per utility"),
    "dwell_noise": (0, 10, "standard deviation, logit of completion"),
    "satisfaction_base": (-20, 20, "logit"),
    "satisfaction_substance": (0, 10, "logit per standard deviation of substance"),
    "satisfaction_appeal": (0, 10, "logit per standard deviation of appeal"),
    "satisfaction_skip": (0, 1, "satisfaction lost on a slate without a click"),
    "satisfaction_rate": (0, 1, "share of the distance, per slate"),
    "fatigue_skip": (0, 60, "minutes"),
    "time_glance": (0.01, 60, "minutes"),
    "time_pace": (0, 60, "minutes per slate whatever is read; 0: the time that reading takes"),
    "leave_beta_a": (0.01, 1000, "Beta parameter"),
    "leave_beta_b": (0.01, 1000, "Beta parameter"),
    "leave_fatigue": (0, 10, "logit per 10 minutes of fatigue"),
    "leave_fatigue_pivot": (0, 600, "minutes"),
    "leave_satisfaction": (0, 20, "logit per unit of satisfaction"),
    "leave_satisfaction_pivot": (-1, 1, "satisfaction"),
    "leave_skips": (0, 5, "logit per consecutive skip, up to three"),
    "trust_start": (0, 1, "trust"),
    "trust_rate": (0, 1, "share of the distance, per session"),
    "churn_base": (-20, 20, "logit per session"),
    "churn_trust": (0, 40, "logit per unit of trust"),
    "churn_trust_pivot": (-1, 1, "trust"),
    "churn_visits": (0, 5, "logit per logarithm of the visit rate"),
    "gap_location": (-10, 10, "logarithm of days"),
    "gap_scale": (0, 5, "standard deviation of the logarithm, within a user"),
    "gap_between_users": (0, 5, "standard deviation of the logarithm, between users"),
    "gap_trust": (0, 10, "logarithm of days per unit of trust"),
    "day_chronotype": (0, 12, "hours, standard deviation over users"),
    "horizon_days": (0.1, 3650, "days"),
}

SHAPE_LIMITS: dict[str, tuple[int, int]] = {
    "slate": (1, 100),
    "history": (1, 200),
    "past": (1, 200),
    "taste": (8, 256),
    "topics": (8, 256),
    "users": (10, 10_000_000),
    "candidates": (1, 100_000),
}


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text names the field, the value, what is allowed and the fix."""


@dataclass(frozen=True)
class Shape:
    """Sizes: slots K, history H, past items, taste width D, topics G, users in the world, candidates M."""

    slate: int
    history: int
    past: int
    taste: int
    topics: int
    users: int
    candidates: int


@dataclass(frozen=True, eq=False)
class Scenario:
    """One world's constants: sizes, parameters and, for each parameter, where it comes from.

    Parameters
    ----------
    name
        Short name; part of every error message.
    shape
        The sizes.
    values
        ``{"group_name": number}`` for each field of `Params` that a file gives.
    hours
        (24,) activity by hour of the day; its mean is set to 1.
    sources, ranges
        Source text and plausible range of each constant, where given.
    """

    name: str
    shape: Shape
    values: Mapping[str, float]
    hours: tuple[float, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the dynamics could not run on."""
        _check_shape(self.name, self.shape)
        for key, value in self.values.items():
            _check_value(self.name, key, value)
        missing = sorted(set(LIMITS) - set(self.values))
        if missing:
            raise ScenarioError(
                f"scenario {self.name!r}: missing {', '.join(map(_dotted, missing))}; give each a number"
            )
        if self.values["items_shortest"] > self.values["items_longest"]:
            raise ScenarioError(
                f"scenario {self.name!r}: items.shortest = {self.values['items_shortest']} exceeds items.longest = "
                f"{self.values['items_longest']}; swap them"
            )
        if len(self.hours) != 24 or not all(math.isfinite(h) and h > 0 for h in self.hours):
            raise ScenarioError(f"scenario {self.name!r}: day.hours needs 24 positive numbers, got {list(self.hours)}")

    @property
    def params(self) -> Params:
        """The constants as the dynamics read them."""
        slots = np.arange(1, self.shape.slate + 1, dtype=np.float64)
        hours = np.asarray(self.hours, dtype=np.float64)
        return Params(
            **{key: float(value) for key, value in self.values.items()},
            position=slots ** -self.values["choice_position"],
            hours=hours / hours.mean(),
        )

    @property
    def record(self) -> NDArray[Any]:
        """The constants as an array of one record: compiled code passes it on as a pointer, a tuple as a copy."""
        kinds = [(key, np.float64) for key in LIMITS]
        kinds += [("position", np.float64, (self.shape.slate,)), ("hours", np.float64, (24,))]  # type: ignore[list-item]
        array = np.zeros(1, np.dtype((np.record, np.dtype(kinds, align=True))))  # attributes in plain Python, too
        for key, value in self.params._asdict().items():
            array[key][0] = value
        return array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything that affects a simulation (not the name, sources or ranges)."""
        content = repr((self.shape, sorted((k, float(v)) for k, v in self.values.items()), self.hours))
        return hashlib.sha256(content.encode()).hexdigest()

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Scenario":
        """Copy with some constants changed: ``{"satiation.sensitivity": 0.8, "shape.slate": 5}``.

        Raises
        ------
        ScenarioError
            For an unknown name (with the closest known one) or a value out of its range.
        """
        table: dict[str, dict[str, Any]] = {}
        for dotted, value in overrides.items():
            if isinstance(value, Mapping) and "value" not in value:
                table.setdefault(dotted, {}).update(value)
            else:
                group, _, key = dotted.partition(".")
                table.setdefault(group, {})[key] = value
        return _from_table(self.name, table, base=self)

    @classmethod
    def load(cls, source: "str | Path | Scenario") -> "Scenario":
        """A scenario by name (``"video"``, ``"control"``), or from a TOML file.

        A file may start from another with ``base = "video"`` or ``base = "mine.toml"`` (beside it) at its top and give
        only what differs.
        """
        return _load(source, ())


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = resources.files(__package__) / "scenarios"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _load(source: "str | Path | Scenario", bases: tuple[str, ...]) -> Scenario:
    if isinstance(source, Scenario):
        return source
    if isinstance(source, str) and not source.endswith(".toml"):
        known = scenario_names()
        if source not in known:
            raise ScenarioError(f"unknown scenario {source!r}{_hint(source, known)}; known: {', '.join(known)}")
        text = (resources.files(__package__) / "scenarios" / f"{source}.toml").read_text(encoding="utf-8")
        return _parse(source, text)
    path = Path(source)
    if not path.is_file():
        raise ScenarioError(
            f"scenario file {str(path)!r} does not exist; give a TOML file or one of {scenario_names()}"
        )
    return _parse(str(path), path.read_text(encoding="utf-8"), path.parent, bases)


def _parse(name: str, text: str, folder: Path = Path(), bases: tuple[str, ...] = ()) -> Scenario:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name!r} is not valid TOML: {error}") from error
    base = table.pop("base", None)
    if base is None:
        return _from_table(name, table, base=None)
    base = str(folder / str(base)) if str(base).endswith(".toml") else str(base)
    if base in (*bases, name):
        raise ScenarioError(f"scenario {name!r}: its base {base!r} is based on itself; name another")
    return _from_table(name, table, base=_load(base, (*bases, name)))


def _from_table(name: str, table: Mapping[str, Any], base: Scenario | None) -> Scenario:
    shape = dict(vars(base.shape)) if base else {}
    values = dict(base.values) if base else {}
    hours = base.hours if base else ()
    sources = dict(base.sources) if base else {}
    ranges = dict(base.ranges) if base else {}
    for group, entries in table.items():
        if not isinstance(entries, Mapping):
            raise ScenarioError(f"scenario {name!r}: {group!r} must be a table such as [satiation], got {entries!r}")
        for key, entry in entries.items():
            value = entry["value"] if isinstance(entry, Mapping) and "value" in entry else entry
            full = f"{group}_{key}"
            if group == "shape":
                shape[key] = value
            elif full == "day_hours":
                hours = _as_hours(name, value)
            else:
                values[full] = value
            if isinstance(entry, Mapping):
                _check_entry(name, full, entry)
                sources[full] = str(entry.get("source", "stated without a source"))
            else:
                sources[full] = "set by the user"
            # What was said about the old value goes with it.
            ranges.pop(full, None)
            if isinstance(entry, Mapping) and "range" in entry:
                ranges[full] = (float(entry["range"][0]), float(entry["range"][1]))
    unknown = sorted(set(shape) - set(SHAPE_LIMITS))
    if unknown:
        raise ScenarioError(
            f"scenario {name!r}: unknown field shape.{unknown[0]}{_hint(unknown[0], SHAPE_LIMITS)}; "
            f"known: {', '.join(SHAPE_LIMITS)}"
        )
    missing = sorted(set(SHAPE_LIMITS) - set(shape))
    if missing:
        raise ScenarioError(f"scenario {name!r}: missing shape.{missing[0]}; give it a whole number")
    return Scenario(name, Shape(**shape), values, hours, sources, ranges)


def _check_entry(name: str, full: str, entry: Mapping[str, Any]) -> None:
    unknown = sorted(set(entry) - {"value", "range", "source"})
    if unknown or "value" not in entry:
        raise ScenarioError(
            f"scenario {name!r}: {_dotted(full)} is written {{ value = ..., range = [low, high], source = '...' }}, "
            f"got the keys {sorted(entry)}"
        )
    bounds = entry.get("range", (0, 0))
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(isinstance(b, int | float) for b in bounds):
        raise ScenarioError(f"scenario {name!r}: {_dotted(full)}: range needs two numbers, got {bounds!r}")


def _as_hours(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(h) for h in value)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"scenario {name!r}: day.hours needs 24 positive numbers, got {value!r}") from error


def _check_shape(name: str, shape: Shape) -> None:
    for key, (low, high) in SHAPE_LIMITS.items():
        value = getattr(shape, key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ScenarioError(
                f"scenario {name!r}: shape.{key} = {value!r} must be a whole number from {low} to {high}"
            )
    for key in ("taste", "topics"):
        if getattr(shape, key) % 8:
            raise ScenarioError(f"scenario {name!r}: shape.{key} = {getattr(shape, key)} must be a multiple of 8")
    if shape.past > shape.history:
        raise ScenarioError(f"scenario {name!r}: shape.past = {shape.past} exceeds shape.history = {shape.history}")
    if shape.candidates < shape.slate:
        raise ScenarioError(
            f"scenario {name!r}: shape.candidates = {shape.candidates} cannot fill a slate of {shape.slate}; raise it"
        )


def _check_value(name: str, key: str, value: Any) -> None:
    if key not in LIMITS:
        raise ScenarioError(f"scenario {name!r}: unknown field {_dotted(key)}{_hint(key, LIMITS)}")
    low, high, unit = LIMITS[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise ScenarioError(
            f"scenario {name!r}: {_dotted(key)} = {value!r} is out of range; allowed: {low} to {high} [{unit}]"
        )


def _dotted(key: str) -> str:
    return key.replace("_", ".", 1)


def _hint(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {_dotted(close[0])!r}?)" if close else ""
