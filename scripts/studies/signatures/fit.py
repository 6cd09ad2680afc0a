"""Fit a scenario's constants and the logging policy's strengths to the signatures of a real log.

    python -m longplay.scripts.studies.signatures.fit --name news-fit --reference signatures.json

Method of simulated moments (McFadden, 1989): a log is simulated and measured as the study of signatures does it, and
lengths of sessions, gaps, odds of choice, churn and the like are to come near to the real ones, each difference divided
by its tolerance and by the error that chance makes. The search is Gauss-Newton without derivatives (after Cartis and
Roberts, 2019): a linear model of all differences is regressed on the evaluations near the best one, its minimum within
a box around it is evaluated next, and the box shrinks when that does not help. All evaluations share their luck, so
what is found should be judged with another ``--luck``. A log does not identify everything: constants may be traded.

Writes runs/NAME: history.csv (a rerun with the same arguments goes on from it) and fitted.toml (the best constants yet,
for the study's ``--scenario runs/NAME/fitted.toml`` with the policy's strengths as its first line tells).
"""

import csv
import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from longplay.envs.make import read_scenario
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, run_command, set_threads
from longplay.scripts.shared.folders import run_folder
from longplay.scripts.studies.signatures.distances import read_ccdf, read_survival_points
from longplay.scripts.studies.signatures.study import Arguments as Simulation
from longplay.scripts.studies.signatures.study import name_base_scenario, read_reference, simulate

# What is fitted, and between which bounds; what begins with "policy." is the logging policy's.
CONSTANTS: dict[str, tuple[float, float]] = {
    "choice.nothing": (-1.0, 3.0),
    "leave.beta_a": (1.5, 6.0),
    "leave.beta_b": (1.2, 6.0),
    "gap.location": (-1.8, 0.9),
    "gap.scale": (0.8, 2.0),
    "gap.between_users": (0.3, 1.4),
    "gap.habit": (0.0, 0.9),
    "churn.base": (-6.0, -2.5),
    "churn.visits": (0.8, 2.5),
    "taste.weight": (2.0, 8.0),
    "momentum.weight": (0.3, 3.0),
    "momentum.persistence": (0.0, 0.9),
    "satiation.sensitivity": (0.05, 0.6),
    "items.life": (0.1, 0.6),
    "policy.popularity": (0.0, 1.5),
    "policy.half_life": (0.1, 1.0),
    "policy.interest": (-1.0, 4.0),
    "policy.related": (0.0, 4.0),
}
RADIUS, LEAST_RADIUS = 0.15, 0.02  # of the box, as a share of the distance between the bounds
PATIENCE = 8  # evaluations without a better one until the box shrinks
LENGTHS = (3, 4, 5, 6, 8, 10, 15)  # P(length ≥ n) is compared at these
ODDS = {
    "choice_logit_or": ("session_run1", "run2", "run3+", "lag2", "lag3", "lag4+"),
    "plackett_luce_within_session_or": ("run1", "run2", "run3", "run4+", "lag2", "lag3", "lag4", "lag5", "lag6+"),
}
SHARES = {  # and others that are compared as they are, with their tolerance
    "churn": ("churn_no_session_next_8d_by_sessions_in_first_8d", ("1", "2", "3", "5", "8", "12+"), 0.05),
    "sessions": ("sessions_per_user_ccdf", ("2", "3", "5", "8", "12"), 0.04),
    "between users": ("session_length_ge2", ("icc_user",), 0.05),
    "entropy": ("category_entropy_nats", ("user_mean",), 0.15),
    "popularity": ("popularity", ("zipf_slope_rank10_3000",), 0.3),
}

Moments = dict[str, float]


@dataclass
class Arguments(Simulation):
    """Fit constants to a log. The search starts from the scenario's constants and the policy's strengths given here."""

    only: tuple[str, ...] = ()
    """Constants to fit; by default all of them, which the source lists with their bounds."""
    events: int = 100_000
    """Clicks that the choice logit of each evaluation reads."""
    evaluations: int = 150
    """Logs to simulate in all, those of earlier runs included."""


def main(args: Arguments) -> None:
    """Search, and write the best so far after each evaluation."""
    unknown = sorted(set(args.only) - set(CONSTANTS))
    if unknown:
        raise ValueError(f"only names {unknown[0]!r}, which is unknown; allowed: {', '.join(CONSTANTS)}")
    if args.reference is None:
        raise ValueError("reference is missing; name a JSON file of signatures to fit to")
    folder = run_folder(args.name)
    search = Search(args, read_reference(args.reference, args.log), folder)
    set_threads(1)
    claim(folder)
    search.load()
    while len(search.known) < args.evaluations:
        search.evaluate(search.propose())
    best = min(search.known, key=lambda key: search.known[key][0])
    console.print(f"best loss {search.known[best][0]:.1f}; {folder / 'fitted.toml'}", soft_wrap=True)


@dataclass
class Search:
    """Evaluations made, and what the fit is about."""

    args: Arguments
    real: dict[str, Any]
    folder: Path
    known: dict[tuple[float, ...], tuple[float, Moments]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find where to start."""
        self.names = tuple(name for name in CONSTANTS if name in (self.args.only or CONSTANTS))
        self.low, self.high = np.array([CONSTANTS[name] for name in self.names]).T
        own = read_scenario(self.args.scenario or name_base_scenario(self.args.env)).values
        own = {name.replace("_", ".", 1): value for name, value in own.items()}
        self.start = np.array(
            [getattr(self.args, n[7:]) if is_of_policy(n) else own[n] for n in self.names], np.float64
        )

    def propose(self) -> np.ndarray:
        """Constants (Q,) to try next."""
        if not self.known:
            return np.clip(self.start, self.low, self.high)
        rng = np.random.default_rng([self.args.luck, len(self.known)])
        places = (np.array(list(self.known)) - self.low) / (self.high - self.low)
        differences = np.array([list(differences.values()) for _, differences in self.known.values()])
        losses = np.array([loss for loss, _ in self.known.values()])
        record = np.minimum.accumulate(losses)
        first = len(self.names) // 2  # only look around
        late = int((record[1:] >= record[:-1])[first:].sum())
        radius = max(RADIUS * 0.8 ** (late // PATIENCE), LEAST_RADIUS)
        best = places[losses.argmin()]
        step = np.zeros(len(best))
        if len(losses) > first:
            step = propose_linear_step(places - best, differences, radius, (-best, 1.0 - best))
        step += rng.uniform(-1.0, 1.0, len(step)) * radius * (0.3 if step.any() else 0.9)
        return np.asarray(self.low + np.clip(best + step, 0.0, 1.0) * (self.high - self.low))

    def evaluate(self, values: np.ndarray) -> None:
        """Simulate a log with these constants (Q,), and write what was found."""
        key, begun = tuple(np.round(values, 5).tolist()), time.perf_counter()
        constants = dict(zip(self.names, key, strict=True))
        strengths: Any = {name[7:]: value for name, value in constants.items() if is_of_policy(name)}
        overrides = {name: value for name, value in constants.items() if not is_of_policy(name)}
        measured = simulate(replace(self.args, **strengths), overrides, self.args.events, quiet=True)
        differences = compute_moments(measured, self.real)
        self.known[key] = (compute_soft_loss(differences), differences)
        self._write(key)
        took, least = time.perf_counter() - begun, min(loss for loss, _ in self.known.values())
        console.print(
            f"evaluation {len(self.known)}: loss {compute_soft_loss(differences):.1f}, best {least:.1f}, {took:.0f} s"
        )

    def load(self) -> None:
        """Read what an earlier run with the same constants has evaluated."""
        if not (path := self.folder / "history.csv").is_file():
            return
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if tuple(row)[1 : len(self.names) + 1] != self.names:
                    raise ValueError(f"{path} is of other constants; pass another --name, or those of that run")
                key = tuple(float(row[name]) for name in self.names)
                differences = {name: float(value) for name, value in list(row.items())[len(self.names) + 1 :]}
                self.known[key] = (float(row["loss"]), differences)
        console.print(f"{len(self.known)} evaluations read from {path}", soft_wrap=True)

    def _write(self, key: tuple[float, ...]) -> None:
        rows = [",".join(["loss", *self.names, *self.known[key][1]])]
        rows += [",".join(map(repr, (loss, *k, *m.values()))) for k, (loss, m) in self.known.items()]
        write_whole(self.folder / "history.csv", "\n".join(rows) + "\n")
        if key == min(self.known, key=lambda k: self.known[k][0]):
            write_whole(self.folder / "fitted.toml", self.toml(dict(zip(self.names, key, strict=True))))

    def toml(self, constants: dict[str, float]) -> str:
        """A scenario file of fitted constants."""
        flags = [
            f"--{name[7:].replace('_', '-')} {value:.4g}" for name, value in constants.items() if is_of_policy(name)
        ]
        base = self.args.scenario or name_base_scenario(self.args.env)
        base = str(Path(base).resolve()) if base.endswith(".toml") else base
        lines = [f"# logging policy: {' '.join(flags) or 'as given'}", "", f"base = {json.dumps(base)}"]
        source = 'source = "fitted: scripts/studies/signatures/fit.py"'
        lines += [
            f"{name} = {{ value = {v:.5g}, {source} }}" for name, v in constants.items() if not is_of_policy(name)
        ]
        return "\n".join(lines) + "\n"


def propose_linear_step(
    offsets: np.ndarray, differences: np.ndarray, radius: float, bounds: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Step (Q,) within a box that makes a linear model of the differences (N, M) small.

    The model is regressed on evaluations at `offsets` (N, Q) from the best one, near ones first, with a little ridge.
    """
    weight = np.exp(-0.5 * (np.sqrt((offsets**2).mean(axis=1)) / radius) ** 2)[:, None]
    x = np.c_[np.ones(len(offsets)), offsets / radius]
    ridge = 0.05 * weight.sum() * np.diag(np.r_[0.0, np.ones(x.shape[1] - 1)]) / x.shape[1]
    slopes = np.linalg.solve(x.T @ (weight * x) + ridge, x.T @ (weight * differences))
    low, high = np.maximum(bounds[0] / radius, -1.0) - 1e-9, np.minimum(bounds[1] / radius, 1.0) + 1e-9

    def model(step: np.ndarray) -> np.ndarray:
        return np.asarray(slopes[0] + step @ slopes[1:])

    solution = least_squares(model, 0.0 * low, bounds=(low, high), loss="soft_l1")
    return np.asarray(radius * solution.x)


def is_of_policy(name: str) -> bool:
    """Whether a constant is the logging policy's."""
    return name.startswith("policy.")


def compute_moments(simulated: dict[str, Any], real: dict[str, Any]) -> Moments:
    """Differences of a simulated log from a real one, each in its tolerance; 0 where it is not known."""
    out: Moments = {}

    def add(name: str, difference: float, tolerance: float) -> None:
        out[name] = float(difference / tolerance) if math.isfinite(difference) else 0.0

    longer, real_longer = (read_ccdf(side["session_length_ge2"]) for side in (simulated, real))
    for n in LENGTHS:
        add(f"length {n}", longer[n - 2] - real_longer[n - 2], 0.015)
    survival, real_survival = (read_survival_points(side["return_time_h"]) for side in (simulated, real))
    for hours in sorted(set(survival) & set(real_survival)):
        add(f"gap {hours:g}", survival[hours] - real_survival[hours], 0.03)
    for name, rate in real["return_time_h"]["hazard_per_h"].items():
        add(
            f"hazard {name}",
            math.log(max(simulated["return_time_h"]["hazard_per_h"][name], 1e-5) / rate),
            math.log(1.4),
        )
    for group, names in ODDS.items():
        for name in names:
            _add_odds(
                add, f"{group[:6]} {name}", simulated[group], real[group], name, simulated[group]["se_log_odds"][name]
            )
    bins, real_bins = (side["choice_logit_or"]["last_exposure_h"] for side in (simulated, real))
    for name in bins:
        _add_odds(add, f"last {name}", bins, real_bins, name, simulated["choice_logit_or"]["se_log_odds"][name])
    for label, (key, names, tolerance) in SHARES.items():
        for name in names:
            add(f"{label} {name}", simulated[key][name] - real[key][name], tolerance)
    key = "article_click_lifetime_h_10_90"
    add("lifetime", math.log(simulated[key] / real[key]), math.log(1.15))
    return out


def _add_odds(add: Any, label: str, simulated: Any, real: Any, name: str, error: float) -> None:
    error = error if math.isfinite(error) else 1.0
    add(label, math.log(simulated[name] / real[name]), math.hypot(math.log(1.15), 2.0 * error))


def compute_soft_loss(differences: Moments) -> float:
    """What the search makes small: the sum of the soft-L1 losses of squared differences."""
    return float(sum(2.0 * (math.sqrt(1.0 + value**2) - 1.0) for value in differences.values()))


if __name__ == "__main__":
    run_command(main, Arguments)
