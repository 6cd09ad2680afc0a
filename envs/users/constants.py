"""The constants of a world: which there are, their units, and what is allowed.

A constant ``group_name`` here is ``[group] name`` in a scenario's TOML file.
"""

import difflib
import math
from dataclasses import dataclass
from typing import Any

# What is allowed (not what is plausible): (low, high, unit).
LIMITS: dict[str, tuple[float, float, str]] = {
    "taste_weight": (0, 20, "utility per unit of cosine"),
    "taste_text_share": (0, 1, "share of variance"),
    "taste_focus": (0, 100, "inverse temperature"),
    "taste_drift": (0, 1, "standard deviation per square root of a day"),
    "taste_cultivation": (0, 1, "lengths of taste that it turns towards an item watched whole; 0: nothing turns it"),
    "taste_reach": (0, 90, "degrees from where it was at first that taste can be turned"),
    "items_substance_noise": (0, 1, "share of variance"),
    "items_appeal_noise": (0, 1, "share of variance"),
    "items_conflict": (0, 0.95, "correlation of substance with appeal, sign turned; 0: as the catalogue has it"),
    "items_topics": (0, 1, "share of the variance of substance that is the topics' own"),
    "items_shortest": (0.1, 600, "minutes"),
    "items_longest": (0.1, 600, "minutes"),
    "items_life": (0, 3650, "days in which an item's choice weight falls to 1/e; 0: items do not age"),
    "items_arrivals": (0, 0.9, "share of the catalogue that appears within the horizon, where items do not age"),
    "items_flare": (0, 3, "log weight at the peak of an item's flare, mean over items; 0: none flares"),
    "items_flare_days": (1e-3, 365, "days from an item's appearance to the peak of its flare"),
    "momentum_weight": (-5, 5, "utility"),
    "momentum_persistence": (0, 0.99, "share of the momentum kept at the next click"),
    "satiation_sensitivity": (0, 10, "utility per unit of exposure, median over users"),
    "satiation_sensitivity_spread": (0, 3, "standard deviation of its logarithm"),
    "satiation_recovery": (1e-3, 365, "days, median over users"),
    "satiation_recovery_spread": (0, 3, "standard deviation of its logarithm"),
    "satiation_seen": (0, 1, "exposures"),
    "repeat_penalty": (0, 20, "utility"),
    "repeat_memory": (0, 1000, "items"),
    "repeat_recovery": (
        0,
        3650,
        "days in which the penalty falls to 1/e; 0: it holds for the last repeat.memory items",
    ),
    "impression_weight": (0, 5, "log weight lost per unit of ln(1 + n), n impressions ignored"),
    "impression_recovery": (0.01, 365, "days in which the count of ignored impressions falls to 1/e"),
    "impression_memory": (0, 4096, "items that a user remembers, a multiple of 8; 0: no impression leaves a trace"),
    "choice_appeal": (0, 10, "log weight per standard deviation of appeal"),
    "choice_price": (0, 10, "log weight lost per standard deviation of the logarithm of the price"),
    "choice_nothing": (-20, 20, "log weight of choosing nothing"),
    "choice_trust": (0, 20, "log weight of choosing nothing per unit of trust below churn.trust_pivot"),
    "choice_position": (0, 5, "exponent of the position discount; in a cascade, rate at which users stop looking"),
    "dwell_base": (-20, 20, "logit of completion"),
    "dwell_utility": (0, 10, "logit of completion per utility"),
    "dwell_noise": (0, 10, "standard deviation, logit of completion"),
    "purchase_rate": (0, 0.99, "share of looks at an item of utility 0 that end in a purchase; 0: nothing is sold"),
    "purchase_utility": (0, 10, "logit of a purchase per utility"),
    "purchase_substance": (0, 10, "logit of a purchase per standard deviation of substance"),
    "purchase_price": (0, 10, "logit of a purchase lost per standard deviation of the logarithm of the price"),
    "satisfaction_base": (-20, 20, "logit"),
    "satisfaction_substance": (0, 10, "logit per standard deviation of substance"),
    "satisfaction_appeal": (0, 10, "logit per standard deviation of appeal"),
    "satisfaction_skip": (0, 1, "satisfaction lost on a slate without a click"),
    "satisfaction_rate": (0, 1, "share of the distance, per slate"),
    "satisfaction_idle": (0, 1, "share of satisfaction.rate by which a slate without a click moves satisfaction"),
    "second_weight": (0, 20, "logit of the verdict per standard deviation of an item's match with the second taste"),
    "second_agreement": (-1, 1, "cosine of the second taste with the taste"),
    "second_own": (0, 1, "share of the variance of what else is in the second taste that is the user's own"),
    "fatigue_skip": (0, 60, "minutes"),
    "time_glance": (0.01, 60, "minutes"),
    "time_pace": (0.01, 600, "minutes of a slate where time does not depend on it"),
    "time_coupling": (0, 1, "how far a slate takes the time that reading it takes, and not the pace"),
    "leave_beta_a": (0.01, 1000, "Beta parameter"),
    "leave_beta_b": (0.01, 1000, "Beta parameter"),
    "leave_fatigue": (0, 10, "logit per 10 minutes of fatigue"),
    "leave_fatigue_pivot": (0, 600, "minutes"),
    "leave_satisfaction": (0, 20, "logit per unit of satisfaction"),
    "leave_satisfaction_pivot": (-1, 1, "satisfaction"),
    "leave_skips": (0, 5, "logit per consecutive skip, up to three"),
    "trust_start": (0, 1, "trust"),
    "trust_rate": (0, 1, "share of the distance, per session"),
    "trust_vain": (0, 1, "share of the distance to trust.vain_verdict, per session without a click"),
    "trust_vain_verdict": (-1, 1, "trust"),
    "churn_base": (-20, 20, "logit per session"),
    "churn_trust": (0, 40, "logit per unit of trust"),
    "churn_trust_pivot": (-1, 1, "trust"),
    "churn_visits": (0, 5, "logit per logarithm of the visit rate"),
    "churn_frailty": (0, 10, "logit, standard deviation between users"),
    "gap_location": (-10, 10, "logarithm of days"),
    "gap_scale": (0, 5, "standard deviation of the logarithm, within a user"),
    "gap_between_users": (0, 5, "standard deviation of the logarithm, between users"),
    "gap_trust": (0, 10, "logarithm of days per unit of trust"),
    "gap_habit": (0, 0.95, "pull h of gaps to whole days: 1/(1 - h) times as dense there, 1/(1 + h) at half days"),
    "gap_step": (0, 30, "waking days: gaps are whole multiples of it, rounded up; 0: of any length"),
    "habit_gap": (0, 10, "logarithm of days by which a full habit shortens gaps"),
    "habit_rate": (0, 1, "share of what is missing to a full habit, per session of full satisfaction"),
    "habit_recovery": (0.01, 3650, "days in which a habit falls to 1/e"),
    "day_arrival": (0, 1, "share of the waking day over which first sessions spread, from midnight"),
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
    "types": (0, 10_000_000),
}

# Constants that are one of a few words; compiled code reads the word's place in its tuple.
WORDS: dict[str, tuple[str, ...]] = {
    "satiation_kind": ("linear", "saturating"),
    "choice_model": ("logit", "cascade", "position"),
    "candidates_order": ("source", "luck"),
    "impression_fade": ("time", "session"),  # whether counts fade by time, or are whole until the session ends
}
LINEAR, SATURATING = 0, 1
LOGIT, CASCADE, POSITION = 0, 1, 2
BY_TIME, BY_SESSION = 0, 1

# Values at which a constant changes nothing. A scenario that does not name one has it, and is the world it was before
# there was such a constant.
NEUTRAL: dict[str, float | str] = {
    "items_arrivals": 0.0,
    "items_flare": 0.0,
    "items_flare_days": 0.1,
    "repeat_recovery": 0.0,
    "impression_weight": 0.0,
    "impression_recovery": 3.0,
    "impression_memory": 0.0,
    "items_conflict": 0.0,
    "items_topics": 0.0,
    "taste_cultivation": 0.0,
    "taste_reach": 45.0,
    "choice_price": 0.0,
    "choice_trust": 0.0,
    "purchase_rate": 0.0,
    "purchase_utility": 0.0,
    "purchase_substance": 0.0,
    "purchase_price": 0.0,
    "satisfaction_idle": 1.0,
    "second_weight": 0.0,
    "second_agreement": 0.0,
    "second_own": 0.0,
    "trust_vain": 0.0,
    "trust_vain_verdict": 0.0,
    "churn_frailty": 0.0,
    "habit_gap": 0.0,
    "habit_rate": 0.0,
    "habit_recovery": 10.0,
    "candidates_order": "source",
    "impression_fade": "time",
}


class ScenarioError(ValueError):
    """A scenario that cannot be used; the text names the field, the value, what is allowed and the fix."""


@dataclass(frozen=True)
class Shape:
    """Sizes: slots K, history H, past items, taste width D, topics G, users in the world, candidates M.

    `types` is the number of different people, met again and again among the users; 0: all differ.
    """

    slate: int
    history: int
    past: int
    taste: int
    topics: int
    users: int
    candidates: int
    types: int


def check_shape(name: str, shape: Shape) -> None:
    """Refuse sizes that the dynamics could not run on."""
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


def check_value(name: str, key: str, value: Any, strength: float = 1.0) -> None:
    """Refuse an unknown constant, and a value that is not allowed; above 1, a dial's strength widens what is."""
    if key in WORDS:
        if value not in WORDS[key]:
            words = ", ".join(map(repr, WORDS[key]))
            raise ScenarioError(f"scenario {name!r}: {format_key(key)} = {value!r} is unknown; allowed: {words}")
        return
    if key not in LIMITS:
        raise ScenarioError(f"scenario {name!r}: unknown field {format_key(key)}{suggest_name(key, [*LIMITS, *WORDS])}")
    low, high, unit = LIMITS[key]
    if strength > 1:
        low, high = low * strength, high * strength
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ScenarioError(
            f"scenario {name!r}: {format_key(key)} = {value!r} must be a number from {low:g} to {high:g} [{unit}]"
        )
    if not math.isfinite(value) or not low <= value <= high:
        raise ScenarioError(
            f"scenario {name!r}: {format_key(key)} = {value!r} is out of range; allowed: {low:g} to {high:g} [{unit}]"
        )


def format_key(key: str) -> str:
    """The name as a TOML file has it."""
    return key.replace("_", ".", 1)


def suggest_name(word: str, names: Any) -> str:
    """A guess at what was meant."""
    close = difflib.get_close_matches(word, list(names), n=1)
    return f" (did you mean {format_key(close[0])!r}?)" if close else ""
