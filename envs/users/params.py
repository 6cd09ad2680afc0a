"""Scenarios: frozen, validated parameters of a world, each with its source.

A scenario is a TOML file. Every constant is written ``name = { value = ..., range = [low, high], source = "..." }``:
the value in force, the range that is plausible (what a sensitivity study sweeps) and where it comes from: fitted from a
named log, taken from a paper, or "assumed". A user's own file, or a dictionary of overrides, may give plain numbers.
"""

import dataclasses
import functools
import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .behaviours import digest_behaviours, read_behaviours
from .constants import (
    LIMITS,
    NEUTRAL,
    SHAPE_LIMITS,
    WORDS,
    ScenarioError,
    Shape,
    check_shape,
    check_value,
    format_key,
    suggest_name,
)
from .records import WAYS, user_type

MOST_STRENGTH = 5.0  # of the dial, however often it is turned
SALES = "sales"
REWARDS = ("minutes", "clicks", "returns", SALES)

# What couples the present to the future; `Scenario.with_strength` scales it.
COUPLED = (
    "momentum_weight",
    "satiation_sensitivity",
    "repeat_penalty",
    "impression_weight",
    "choice_trust",
    "leave_fatigue",
    "leave_satisfaction",
    "leave_skips",
    "churn_trust",
    "gap_trust",
    "habit_gap",
    "taste_cultivation",
)


@functools.cache
def _make_record_type(slots: int) -> np.dtype:
    """Type of `Scenario.record`, one object for each length of a slate (see `records`)."""
    kinds: list[Any] = [(key, np.float64) for key in (*LIMITS, *WORDS)]
    kinds += [("position", np.float64, (slots,)), ("hours", np.float64, (24,))]
    return np.dtype((np.record, np.dtype(kinds, align=True)))  # attributes in plain Python, too


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
        ``{"group_name": value}`` for each constant of `constants.LIMITS` (numbers) and `constants.WORDS`; those of
        `constants.NEUTRAL` may be left out.
    hours
        (24,) activity by hour of the day; its mean is set to 1.
    sources, ranges
        Source text and plausible range of each constant, where given.
    catalog
        Name of the catalogue that comes with the scenario; see `longplay.envs.catalogs.registry.CATALOGS`.
    reward
        Payment of a step, one of `REWARDS`.
    strength
        What the values of `COUPLED` have been multiplied by; their limits hold for what they were before.
    behaviours
        What users do by functions of one's own, or their addresses ``"module:function"``; see `behaviours.BEHAVIOURS`.
    """

    name: str
    shape: Shape
    values: Mapping[str, float | str]
    hours: tuple[float, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    catalog: str = "films"
    reward: str = "minutes"
    strength: float = 1.0
    behaviours: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the dynamics could not run on."""
        check_shape(self.name, self.shape)
        object.__setattr__(self, "behaviours", read_behaviours(self.name, self.behaviours))
        object.__setattr__(self, "values", {**NEUTRAL, **self.values})
        for key, value in self.values.items():
            check_value(self.name, key, value, self.strength if key in COUPLED else 1.0)
        missing = sorted({*LIMITS, *WORDS} - set(self.values))
        if missing:
            raise ScenarioError(
                f"scenario {self.name!r}: missing {', '.join(map(format_key, missing))}; give each a number"
            )
        if self.reward not in REWARDS:
            allowed = ", ".join(map(repr, REWARDS))
            raise ScenarioError(f"scenario {self.name!r}: reward = {self.reward!r} is unknown; allowed: {allowed}")
        if self.read_number("items_shortest") > self.read_number("items_longest"):
            raise ScenarioError(
                f"scenario {self.name!r}: items.shortest = {self.values['items_shortest']} exceeds items.longest = "
                f"{self.values['items_longest']}; swap them"
            )
        self._check_memory()
        self._check_births()
        self._check_purchases()
        if len(self.hours) != 24 or not all(math.isfinite(h) and h > 0 for h in self.hours):
            raise ScenarioError(f"scenario {self.name!r}: day.hours needs 24 positive numbers, got {list(self.hours)}")

    def _check_memory(self) -> None:
        """Refuse a memory that does not fit its rows, and what needs one where there is none."""
        places = self.read_number("impression_memory")
        if places % WAYS:
            raise ScenarioError(
                f"scenario {self.name!r}: impression.memory = {places:g} must be a multiple of {WAYS}; "
                f"give {WAYS * max(round(places / WAYS), 1)}"
            )
        asking = [key for key in ("impression_weight", "repeat_recovery") if self.read_number(key) > 0]
        if asking and places == 0:
            names = " and ".join(f"{format_key(key)} = {self.values[key]}" for key in asking)
            raise ScenarioError(
                f"scenario {self.name!r}: {names} need{'s' if len(asking) == 1 else ''} a memory, and "
                f"impression.memory is 0; give it places, such as 128, or set {' and '.join(map(format_key, asking))} "
                "to 0"
            )

    def _check_births(self) -> None:
        """Refuse two ways of appearing at once, and flares of what has always been there."""
        life, arrivals, flare = (self.read_number(f"items_{name}") for name in ("life", "arrivals", "flare"))
        if life > 0 and arrivals > 0:
            raise ScenarioError(
                f"scenario {self.name!r}: items.arrivals = {arrivals:g} and items.life = {life:g} each say when items "
                "appear; set items.arrivals to 0, as where items age they appear all the time, or items.life to 0"
            )
        if flare > 0 and not self.appearing:
            raise ScenarioError(
                f"scenario {self.name!r}: items.flare = {flare:g} needs items that appear, and all have always been "
                "there; set items.life or items.arrivals above 0, or items.flare to 0"
            )

    def _check_purchases(self) -> None:
        """Refuse what is about purchases where nothing is sold."""
        asking = [key for key in LIMITS if key.startswith("purchase_") and self.read_number(key) > 0]
        if self.selling or not (asking or self.reward == SALES):
            return
        what = f"{format_key(asking[0])} = {self.values[asking[0]]}" if asking else f"reward = {self.reward!r}"
        raise ScenarioError(
            f"scenario {self.name!r}: {what} is about purchases, and purchase.rate is 0, so that nothing is sold; give "
            "purchase.rate a share, such as 0.01, or leave the other out"
        )

    @property
    def selling(self) -> bool:
        """Whether users buy of what they look at."""
        return self.read_number("purchase_rate") > 0

    @property
    def priced(self) -> bool:
        """Whether prices matter to what users do or to what they pay."""
        return self.selling or self.read_number("choice_price") > 0

    @property
    def appearing(self) -> bool:
        """Whether items appear while users live, so that some are still to come."""
        return self.read_number("items_life") > 0 or self.read_number("items_arrivals") > 0

    @property
    def memory(self) -> int:
        """Items that a user remembers; 0 where impressions leave no trace and the service keeps no slates."""
        return int(self.read_number("impression_memory"))

    @property
    def second(self) -> bool:
        """Whether users judge by a second taste."""
        return self.read_number("second_weight") > 0

    @property
    def habit(self) -> bool:
        """Whether visits make a habit."""
        return self.read_number("habit_gap") > 0

    @property
    def cultivation(self) -> bool:
        """Whether what is watched turns taste."""
        return self.read_number("taste_cultivation") > 0

    def make_user_type(self) -> np.dtype:
        """Record of one user, as `records.user_type` has it for this scenario."""
        return user_type(self.shape, self.memory, self.second, self.cultivation)

    def __repr__(self) -> str:
        dial = f", strength {self.strength:g}" if self.strength != 1 else ""
        constants = sum(NEUTRAL.get(key) != value for key, value in self.values.items())
        own = f", own {' and '.join(self.behaviours)}" if self.behaviours else ""
        return f"Scenario({self.name!r}, {constants} constants{dial}{own})"

    def __getstate__(self) -> dict[str, Any]:
        # Derived values are made anew: an unpickled record would be writable, and so of another type to compiled loops.
        return {
            name: value for name, value in vars(self).items() if name not in ("record", "digest", "behaviours_digest")
        }

    def read_number(self, key: str) -> float:
        """A constant as a number: of a word, its place in `constants.WORDS`."""
        value = self.values[key]
        return float(WORDS[key].index(str(value)) if key in WORDS else value)

    @functools.cached_property
    def record(self) -> NDArray[Any]:
        """The constants as an array of one record: compiled code passes it on as a pointer, a tuple as a copy.

        Beside the constants it has ``position`` (K,), how far each slot is looked at, and ``hours`` (24,), activity by
        hour of the day with mean 1.
        """
        array = np.zeros(1, _make_record_type(self.shape.slate))
        for key in (*LIMITS, *WORDS):
            array[key] = self.read_number(key)
        slots = np.arange(self.shape.slate)
        rate = self.read_number("choice_position")
        cascade = self.values["choice_model"] == "cascade"
        array["position"] = np.exp(-rate * slots) if cascade else (slots + 1.0) ** -rate
        array["hours"] = np.asarray(self.hours) / np.mean(self.hours)
        array.setflags(write=False)
        return array

    @property
    def params(self) -> Any:
        """The constants as the dynamics read them: `record`, with an attribute for each."""
        return self.record[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scenario):
            return False
        # The very functions: of two that do the same one may be marked as plain Python.
        return other.digest == self.digest and other.behaviours == self.behaviours

    def __hash__(self) -> int:
        return hash(self.digest)

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything that affects a simulation (not the name, sources, ranges or the catalogue's name)."""
        # What changes nothing is left out, so that a scenario keeps its hash when others get new constants.
        values = sorted((k, self.read_number(k)) for k, v in self.values.items() if NEUTRAL.get(k) != v)
        content = repr((self.shape, values, self.hours, self.reward)) + self.behaviours_digest
        return hashlib.sha256(content.encode()).hexdigest()

    @functools.cached_property
    def behaviours_digest(self) -> str:
        """Hash of the functions of one's own; "" where there are none."""
        return digest_behaviours(self.behaviours) if self.behaviours else ""

    def with_behaviours(self, behaviours: Mapping[str, Any] | None) -> "Scenario":
        """Copy in which functions of one's own say what users do, by behaviour, beside those that it has already.

        Raises
        ------
        ScenarioError
            For an unknown behaviour, or what is no function of its parameters.
        """
        given = read_behaviours(self.name, {} if behaviours is None else behaviours)
        return dataclasses.replace(self, behaviours={**self.behaviours, **given}) if given else self

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Scenario":
        """Copy with some constants changed: ``{"satiation.sensitivity": 0.8, "shape.slate": 5}``.

        ``behaviours.leaves`` and the like take a function, or its address, see `with_behaviours`.

        Raises
        ------
        ScenarioError
            For an unknown name (with the closest known one) or a value out of its range.
        """
        table: dict[str, Any] = {}
        for name, value in overrides.items():
            if name in ("catalog", "reward"):
                table[name] = value
            elif name == "base":
                raise ScenarioError(
                    f"scenario {self.name!r}: base = {value!r} is for TOML files; overrides start from the id's own "
                    "scenario; give scenario = the name or file itself, or write a file with that base"
                )
            elif isinstance(value, Mapping) and "value" not in value:
                table.setdefault(name, {}).update(value)
            else:
                group, dot, key = name.partition(".")
                if not dot:
                    known = [format_key(known) for known in (*LIMITS, *WORDS)]
                    raise ScenarioError(
                        f"scenario {self.name!r}: {name!r} is no constant{suggest_name(name, known)}; overrides are "
                        'written {"group.name": value}, such as {"impression.weight": 0.2}'
                    )
                table.setdefault(group, {})[key] = value
        return _read_scenario(self.name, table, base=self)

    def with_strength(self, strength: float) -> "Scenario":
        """Copy whose coupling of the present to the future is scaled: the dial of how much there is to plan for.

        Momentum, satiation, the penalty for repeats, what ignored impressions do to an item's pull, what fatigue,
        satisfaction and skips do to leaving, what trust does to choice, churn and gaps, what a habit does to gaps, and
        how far what is watched turns taste are multiplied by `strength`; so, up to 1, is how far a slate's time depends
        on what is read.

        Parameters
        ----------
        strength
            0: users are what they would be whatever is shown, so the best slate now is the best slate (of the whole
            catalogue: a retriever still finds its candidates by what was clicked); 1: the scenario as it is; above 1:
            stress. At most 5, also of a scenario that is scaled already: strengths multiply. Limits of constants hold
            for the scenario as it is, and nothing is clipped to them.
        """
        if not isinstance(strength, int | float) or isinstance(strength, bool) or not 0 <= strength <= MOST_STRENGTH:
            raise ScenarioError(f"dynamics_strength = {strength!r} is out of range; allowed: 0 to {MOST_STRENGTH:g}")
        if strength == 1:
            return self
        if self.strength * strength > MOST_STRENGTH:
            raise ScenarioError(
                f"dynamics_strength = {strength!r} of scenario {self.name!r}, which is scaled by {self.strength:g} "
                f"already, makes {self.strength * strength:g}; allowed: 0 to {MOST_STRENGTH:g} in all, so at most "
                f"{MOST_STRENGTH / self.strength:g} here"
            )
        scaled = {key: strength * self.read_number(key) for key in COUPLED}
        scaled["time_coupling"] = min(1.0, strength * self.read_number("time_coupling"))
        return dataclasses.replace(self, values={**self.values, **scaled}, strength=self.strength * strength)

    @classmethod
    def load(cls, source: "str | Path | Scenario") -> "Scenario":
        """A scenario by name (``"video"``, ``"control"``), or from a TOML file.

        A file may start from another with ``base = "video"`` or ``base = "mine.toml"`` (beside it) at its top and give
        only what differs.
        """
        return _load(source, ())


def list_scenarios() -> list[str]:
    """Names of the scenarios that come with the package."""
    folder = resources.files("longplay.envs") / "scenarios"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _load(source: "str | Path | Scenario", bases: tuple[str, ...]) -> Scenario:
    if isinstance(source, Scenario):
        return source
    if isinstance(source, str) and not source.endswith(".toml"):
        names = list_scenarios()
        if source not in names:
            raise ScenarioError(f"unknown scenario {source!r}{suggest_name(source, names)}; known: {', '.join(names)}")
        text = (resources.files("longplay.envs") / "scenarios" / f"{source}.toml").read_text(encoding="utf-8")
        return _parse(source, text)
    path = Path(source)
    if not path.is_file():
        raise ScenarioError(
            f"scenario file {str(path)!r} does not exist; give a TOML file or one of {list_scenarios()}"
        )
    return _parse(str(path), path.read_text(encoding="utf-8"), path.parent, bases)


def _parse(name: str, text: str, folder: Path = Path(), bases: tuple[str, ...] = ()) -> Scenario:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"scenario {name!r} is not valid TOML: {error}") from error
    base = table.pop("base", None)
    if base is None:
        return _read_scenario(name, table, base=None)
    base = str(folder / str(base)) if str(base).endswith(".toml") else str(base)
    if base in (*bases, name):
        raise ScenarioError(f"scenario {name!r}: its base {base!r} is based on itself; name another")
    return _read_scenario(name, table, base=_load(base, (*bases, name)))


def _read_scenario(name: str, table: Mapping[str, Any], base: Scenario | None) -> Scenario:
    shape = dict(vars(base.shape)) if base else {}
    values = dict(base.values) if base else {}
    hours = base.hours if base else ()
    named = {key: table.get(key, getattr(base, key, None)) for key in ("catalog", "reward")}
    table = {key: entry for key, entry in table.items() if key not in named}
    behaviours = dict(base.behaviours) if base else {}
    sources = dict(base.sources) if base else {}
    ranges = dict(base.ranges) if base else {}
    for group, entries in table.items():
        if not isinstance(entries, Mapping):
            raise ScenarioError(f"scenario {name!r}: {group!r} must be a table such as [satiation], got {entries!r}")
        if group == "behaviours":
            behaviours |= entries
            continue
        for key, entry in entries.items():
            value = entry["value"] if isinstance(entry, Mapping) and "value" in entry else entry
            full = f"{group}_{key}"
            if group == "shape":
                shape[key] = value
            elif full == "day_hours":
                hours = _parse_hours(name, value)
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
            f"scenario {name!r}: unknown field shape.{unknown[0]}{suggest_name(unknown[0], SHAPE_LIMITS)}; "
            f"known: {', '.join(SHAPE_LIMITS)}"
        )
    missing = sorted(set(SHAPE_LIMITS) - set(shape))
    if missing:
        raise ScenarioError(f"scenario {name!r}: missing shape.{missing[0]}; give it a whole number")
    given = {key: str(value) for key, value in named.items() if value is not None}
    strength = base.strength if base else 1.0
    return Scenario(
        name, Shape(**shape), values, hours, sources, ranges, **given, strength=strength, behaviours=behaviours
    )


def _check_entry(name: str, full: str, entry: Mapping[str, Any]) -> None:
    unknown = sorted(set(entry) - {"value", "range", "source"})
    if unknown or "value" not in entry:
        raise ScenarioError(
            f"scenario {name!r}: {format_key(full)} is written {{ value = ..., range = [low, high], source = '...' }}, "
            f"got the keys {sorted(entry)}"
        )
    bounds = entry.get("range", (0, 0))
    numbers = isinstance(bounds, list | tuple) and all(isinstance(bound, int | float) for bound in bounds)
    if not numbers or len(bounds) != 2 or not bounds[0] <= bounds[1]:
        raise ScenarioError(
            f"scenario {name!r}: {format_key(full)}: range needs two numbers, the smaller first, got {bounds!r}"
        )


def _parse_hours(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(h) for h in value)
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"scenario {name!r}: day.hours needs 24 positive numbers, got {value!r}") from error
