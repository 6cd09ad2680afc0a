"""Fit predictors of interest, rating, retention and return time on a log, and measure them on users not met before.

    python scripts/collect.py --name log --items 1000 --users 3000
    python scripts/predict.py --name predictors --log log
    python scripts/predict.py --name predictors-text --log log --encoder pooled

An encoder is a name (fitted on the training users where it learns) or the folder of a saved one; if that was fitted on
anything else, as scripts/encode.py does, it may have met the users of the test, and what is measured is titled so.
Writes runs/NAME: the predictors and their recalibration (safetensors), metrics.json, reliability.png and survival.png.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import r2_score, roc_auc_score, root_mean_squared_error

from longplay.agents.stats import estimate_retention as kaplan_meier_interval
from longplay.encoders import Encoder, Items
from longplay.encoders.base import read_header
from longplay.encoders.data.splits import hold_back
from longplay.encoders.figures import draw_reliability, draw_survival
from longplay.encoders.measures.floor import fit_on_whole
from longplay.encoders.outcomes.calibration import (
    Reliability,
    brier_score,
    expected_calibration_error,
    fit_recalibration,
    measure_reliability,
    simulate_perfect_error,
)
from longplay.encoders.outcomes.predictors import Components, InterestPredictor, RatingPredictor, RetentionPredictor
from longplay.encoders.outcomes.questions import (
    PARTS,
    LogParts,
    Outcomes,
    align_sessions,
    bootstrap_over_users,
    check_outcomes,
    fit_best_penalty,
)
from longplay.encoders.outcomes.survival import ReturnTime, concordance, integrated_brier, kaplan_meier
from longplay.encoders.registry import ENCODERS, load_encoder
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.shared.files import write_whole
from longplay.scripts.shared.claims import claim
from longplay.scripts.shared.console import console, run_command, set_threads
from longplay.scripts.shared.folders import RUNS, check_free, run_folder, write_figure
from longplay.scripts.shared.logs import Source, read_collected_log
from longplay.scripts.shared.tables import FRAMED, make_table

NEW, MET = "users not met before", "users whom the encoder may have met"
PARTIAL = ("interest*", "rating*", "retention*", "return*", "components*", "reliability.png", "survival.png")
GROUPS = ("most likely back", "in between", "least likely back")


@dataclass
class Arguments:
    """Fit and measure predictors."""

    name: str
    """Folder below runs/ that is written to."""
    log: str
    """Folder below runs/ that scripts/collect.py wrote."""
    encoder: str = "als"
    """Encoder whose vectors are read: a name, fitted on the training users where it learns, or a folder below runs/ of
    a saved one."""
    bert: str | None = None
    """A text model by alias, folder or hub name for the items' vectors; by default all-MiniLM-L6-v2."""
    days: float = 3.0
    """Days within which a user is to come back, for retention."""
    cut: float = 0.6
    """Share of the sessions before the time from which is tested."""
    components: int = 4
    """Principal components of the user vector in the models of retention and return times."""
    rows: int = 20_000
    """Largest number of rows of each part."""
    resamples: int = 200
    """Bootstrap resamples of users, for the intervals."""
    seed: int = 0
    """Seed of the draw of users and rows, and of the encoder's fit."""
    overwrite: bool = False
    """Replace an earlier result of the same name."""


class PredictorResult(NamedTuple):
    """A predictor's name, its metrics as (name, value, low, high), and its reliability."""

    name: str
    metrics: list[tuple[str, float, float, float]]
    curve: Reliability | None = None
    kind: str = ""


def main(args: Arguments) -> None:
    """Read, fit, measure, write."""
    folder = run_folder(args.name)
    _check_arguments(args)
    check_free(folder, "metrics.json", args.overwrite, PARTIAL)
    claim(folder)
    set_threads(1)
    source, parts = _read_parts(args)
    encoder, seen = _make_encoder(args.encoder, source.items, parts, args.seed)
    whom = MET if seen else NEW
    about = f"{args.encoder}, {encoder.width} wide" + ", which was not fitted on the training part of this log" * seen
    console.print(f"{len(source.log):,} rows, {source.log.users:,} users; vectors of {about}", soft_wrap=True)
    results = []
    for name, measure in (
        ("interest", _measure_interest),
        ("rating", _measure_rating),
        ("retention", _measure_retention),
    ):
        with console.status(f"fitting {name}"):
            results += measure(parts, encoder, args, folder)
    with console.status("fitting return times"):
        results.append(_measure_return_time(parts, encoder, args, folder, whom))
    panels: dict[str, dict[str, Reliability]] = {}
    for result in results:
        if result.curve is not None:
            panels.setdefault(result.name.split(",")[0], {})[result.kind] = result.curve
    write_figure(draw_reliability(panels, f"Reliability on {whom}"), folder / "reliability.png")
    content = {result.name: {metric: values for metric, *values in result.metrics} for result in results}
    report = {"arguments": vars(args), "encoder_has_seen_all": seen, "metrics": content}
    write_whole(folder / "metrics.json", json.dumps(report, indent=1))
    _print_results(results, whom)
    console.print(f"{folder}: metrics.json, reliability.png, survival.png", soft_wrap=True)


def _check_arguments(args: Arguments) -> None:
    limits = {"days": (0.01, 1000), "cut": (0.05, 0.95), "components": (1, 64), "rows": (100, 10**7)}
    for name, (low, high) in (limits | {"resamples": (10, 10**5), "seed": (0, 2**31)}).items():
        if not low <= getattr(args, name) <= high:
            raise ValueError(f"{name} = {getattr(args, name)} is out of range; allowed: {low} to {high}")
    if not (run_folder(args.log) / "sessions.parquet").exists():
        raise ValueError(f"log = {args.log!r}: {RUNS}/{args.log} holds no log; make one with scripts/collect.py")


def _read_parts(args: Arguments) -> tuple[Source, LogParts]:
    log_folder = run_folder(args.log)
    source = read_collected_log(log_folder, TextEncoder(args.bert))
    begin = float(pd.read_parquet(log_folder / "log.parquet", columns=["time"])["time"].min())
    sessions = align_sessions(pd.read_parquet(log_folder / "sessions.parquet"), source.log, begin)
    return source, LogParts(source.log, sessions, args.cut, args.rows, args.seed)


def _make_encoder(name: str, items: Items, parts: LogParts, seed: int) -> tuple[Encoder, bool]:
    """The encoder, and whether it may have learnt from more than the training part."""
    if name in ENCODERS:
        return fit_on_whole(ENCODERS[name].make(items), parts.train, seed=seed), False
    encoder = load_encoder(run_folder(name), items)
    known = ([parts.train.digest], [part.digest for part in hold_back(parts.train)])
    return encoder, encoder.needs_fit and read_header(run_folder(name))["logs"] not in known


def _measure_interest(parts: LogParts, encoder: Encoder, args: Arguments, folder: Path) -> list[PredictorResult]:
    results = []
    for name, features, match in (
        ("interest", False, False),
        ("interest with match", False, True),
        ("interest with features", True, True),
    ):
        train, valid, test = (parts.collect_shown(part, encoder, features) for part in PARTS)
        fix = "collect a longer log with scripts/collect.py --users, or move --cut"
        check_outcomes("opened of what was shown", fix, train=train, validation=valid, test=test)
        matched = encoder.width if match else 0
        model = fit_best_penalty(InterestPredictor.fit, train, valid, match=match, matched=matched)
        results += _measure_classifier(name, model, valid, test, args, folder)
    return [_measure_share("opened by chance", train, test, args), *results]


def _measure_rating(parts: LogParts, encoder: Encoder, args: Arguments, folder: Path) -> list[PredictorResult]:
    scores = {"RMSE": root_mean_squared_error, "R²": lambda p, y: float(r2_score(y, p))}
    results = []
    for name in ("rating", "rating with features"):
        train, test = (parts.collect_consumed(part, encoder, "features" in name) for part in ("train", "test"))
        model = RatingPredictor.fit(train.vectors, train.other, train.outcome)
        model.save(folder / f"{name.replace(' ', '-')}.safetensors")
        predicted = model.predict(test.vectors, test.other)
        results.append(PredictorResult(name, _compute_metrics(scores, test.user, args, predicted, test.outcome)))
    mean = _compute_metrics(
        {"RMSE": scores["RMSE"]}, test.user, args, np.full(len(test), train.outcome.mean()), test.outcome
    )
    return [PredictorResult("mean completion", mean), *results]


def _measure_retention(parts: LogParts, encoder: Encoder, args: Arguments, folder: Path) -> list[PredictorResult]:
    train, valid, test = (
        part.take(np.isfinite(part.outcome)) for part in _read_sessions(parts, encoder, args, folder, PARTS)
    )
    fix = "give other --days, a log of more users (scripts/collect.py --users), or move --cut"
    check_outcomes(f"back within {args.days:g} days", fix, train=train, validation=valid, test=test)
    model = fit_best_penalty(RetentionPredictor.fit, train, valid)
    return [
        _measure_share(f"back in {args.days:g} days by chance", train, test, args),
        *_measure_classifier(f"retention in {args.days:g} days", model, valid, test, args, folder, "retention"),
    ]


def _read_sessions(
    parts: LogParts, encoder: Encoder, args: Arguments, folder: Path, names: Sequence[str]
) -> list[Outcomes]:
    """Sessions of some parts, the first being that for training, with few components in place of the user vectors."""
    outcomes = [parts.collect_sessions(name, encoder, args.days) for name in names]
    components = Components.fit(outcomes[0].vectors, args.components)
    components.save(folder / "components.safetensors")
    return [replace(part, vectors=components(part.vectors).astype(np.float32)) for part in outcomes]


def _measure_return_time(
    parts: LogParts, encoder: Encoder, args: Arguments, folder: Path, whom: str
) -> PredictorResult:
    train, test = _read_sessions(parts, encoder, args, folder, ("train", "test"))
    columns = [np.concatenate([part.vectors, part.other], axis=1) for part in (train, test)]
    model = ReturnTime.fit(columns[0], train.days, train.returned)
    model.save(folder / "return.safetensors")
    # Late enough to tell much, and early enough for some to be seen still.
    grid = np.linspace(0.0, min(model.reach, float(np.quantile(test.days, 0.95))), 200)
    predicted, risk = model.survival(columns[1], grid), model.risk(columns[1])
    everybody = np.tile(kaplan_meier(train.days, train.returned, grid), (len(test), 1))
    seen_so = (test.days, test.returned)
    metrics = _compute_metrics({"concordance": concordance}, test.user, args, risk, *seen_so)
    for name, chances in (("integrated Brier", predicted), ("integrated Brier, Kaplan–Meier", everybody)):
        metrics += _compute_metrics({name: partial(integrated_brier, at=grid)}, test.user, args, chances, *seen_so)
    group = np.searchsorted(np.quantile(-risk, [1 / 3, 2 / 3]), -risk)
    means = {name: predicted[group == g].mean(axis=0) for g, name in enumerate(GROUPS)}
    seen = {
        name: kaplan_meier_interval(test.days[group == g], test.returned[group == g], grid)
        for g, name in enumerate(GROUPS)
    }
    write_figure(draw_survival(grid, means, seen, f"Return of {whom}, by what is told"), folder / "survival.png")
    return PredictorResult("return time", metrics)


def _measure_share(name: str, train: Outcomes, test: Outcomes, args: Arguments) -> PredictorResult:
    """What the training part's share alone achieves."""
    share = np.full(len(test), train.outcome.mean())
    return PredictorResult(name, _compute_metrics({"Brier": brier_score}, test.user, args, share, test.outcome))


def _compute_metrics(
    scores: Mapping[str, Callable[..., float]], user: NDArray[np.int64], args: Arguments, *arrays: NDArray[Any]
) -> list[tuple[str, float, float, float]]:
    """Metrics with their intervals."""
    settings = {"resamples": args.resamples, "seed": args.seed}
    return [(name, *bootstrap_over_users(score, user, *arrays, **settings)) for name, score in scores.items()]


def _measure_classifier(
    name: str, model: Any, valid: Outcomes, test: Outcomes, args: Arguments, folder: Path, file: str = ""
) -> list[PredictorResult]:
    """A classifier as fitted, and recalibrated on the validation rows."""
    recalibrate = fit_recalibration(model.predict(valid.vectors, valid.other), valid.outcome)
    file = (file or name).replace(" ", "-")
    model.save(folder / f"{file}.safetensors")
    recalibrate.save(folder / f"{file}-{type(recalibrate).__name__.lower()}.safetensors")
    plain = model.predict(test.vectors, test.other)
    scores = {"AUC": _compute_auc, "Brier": brier_score}
    results = []
    for title, predicted, how in (
        (name, plain, "as fitted"),
        (f"{name}, recalibrated", recalibrate(plain), "recalibrated"),
    ):
        metrics = _compute_metrics(scores, test.user, args, predicted, test.outcome)
        error = expected_calibration_error(predicted, test.outcome)
        perfect = simulate_perfect_error(predicted, seed=args.seed)
        metrics.append(("calibration error (range if perfect)", error, *perfect))
        results.append(PredictorResult(title, metrics, measure_reliability(predicted, test.outcome), how))
    return results


def _compute_auc(chances: NDArray[Any], outcomes: NDArray[Any]) -> float:
    return float(roc_auc_score(outcomes, chances)) if 0 < outcomes.mean() < 1 else float("nan")


def _print_results(results: list[PredictorResult], whom: str) -> None:
    title = f"on {whom}, after the cut; 95 % intervals over users"
    columns = ("predictor", "metric", "value", "interval")
    table = make_table(title, columns, "llr", **FRAMED, title_justify="center")
    for result in results:
        for k, (metric, value, low, high) in enumerate(result.metrics):
            table.add_row("" if k else result.name, metric, f"{value:.4f}", f"{low:.4f} to {high:.4f}")
    console.print(table)


if __name__ == "__main__":
    run_command(main, Arguments)
