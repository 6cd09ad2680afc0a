"""Write the files in ``saved``, which later code must load with the same results.

It was run once, on the last commit before the modules were arranged anew, with that commit as the package longplay:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/compatibility/make_fixtures.py

Run on later code it would show nothing but that this code agrees with itself. It is kept so that one can read what was
saved, and how. A format that changes on purpose gets a folder of its own beside ``saved``. It takes half a minute.
"""

import contextlib
import copy
import json
import os
import shutil
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import optuna
import pandas as pd
import torch
from safetensors.numpy import save_file
from sklearn.ensemble import HistGradientBoostingRegressor

from longplay.agents.runs.reading import Reading
from longplay.tests.compatibility import api, playing

ITEMS = 48
SCENARIO = """base = "video"

[shape]
users = 200
candidates = 24

[horizon]
days = 4.0
"""
COMMON = {"steps": 256, "num_envs": 8, "eval_users": 6, "evals": 2}
PPO = {"n_steps": 16, "batch_size": 32, "n_epochs": 2}
OFF_POLICY = {"learning_starts": 64, "buffer_size": 128, "batch_size": 32, "gradient_steps": 1}
ARS = {"n_delta": 2, "n_top": 2, "users": 1}
SLATEQ = {"hidden": 4, "match": 2, "segment": 8, "batch": 32}
SEARCH = {"later": "search", "search_after": 128, "search_rounds": 1, "search_users": 1, "search_population": 8}
POLICY = {"hidden": 4, "match": 2, "rollout": 8, "minibatch": 32, "epochs": 1}
WOLPERTINGER = {"hidden": 4, "text": 2, "segment": 8, "batch": 32, "neighbours": 12}
SCORES = ("encoders/item-knn", "rules/minutes", "rules/als", "trained/slateq")

TRAINED = {
    "ppo-weights": {"agent": "ppo", "options": PPO},
    "ppo-candidates": {"agent": "ppo", "action": "candidates", "options": PPO},
    "ppo-presets": {"agent": "ppo", "action": "presets", "options": PPO},
    "ppo-stock": {"agent": "ppo-stock", "options": PPO},
    "a2c-query": {"agent": "a2c", "action": "query"},
    "recurrent-ppo": {"agent": "recurrent-ppo", "options": {**PPO, "lstm_hidden_size": 4}},
    "sac-query": {"agent": "sac", "action": "query", "options": OFF_POLICY},
    "tqc-weights": {"agent": "tqc", "options": OFF_POLICY},
    "td3-weights": {"agent": "td3", "options": OFF_POLICY},
    "dqn-presets": {"agent": "dqn", "options": OFF_POLICY},
    "qr-dqn-presets": {"agent": "qr-dqn", "options": {**OFF_POLICY, "n_quantiles": 4}},
    "ars": {"agent": "ars", "options": ARS},
    "slateq": {"agent": "slateq", "options": SLATEQ},
    "slateq-search": {"agent": "slateq", "options": {**SLATEQ, **SEARCH}},
    "pl-ppo": {"agent": "pl-ppo", "options": POLICY},
    "pl-ppo-catalog": {"agent": "pl-ppo-catalog", "options": POLICY},
    "reinforce": {"agent": "reinforce", "options": POLICY},
    "wolpertinger": {"agent": "wolpertinger", "options": WOLPERTINGER},
    "ppo-fine-tuned": {"agent": "ppo", "state": "encoders/gru", "fine_tune": True, "options": PPO},
    "ppo-scores": {"agent": "ppo", "state": "mean", "scores": SCORES, "options": PPO},
}
FEW = {"num_envs": 2, "steps": 128}
INTERRUPTED = {
    "ppo-weights": {**TRAINED["ppo-weights"], **FEW},
    "recurrent-ppo": {"agent": "recurrent-ppo", "options": {**PPO, "lstm_hidden_size": 2}, **FEW},
    "sac-weights": {"agent": "sac", "options": {**OFF_POLICY, "buffer_size": 24, "learning_starts": 16}, **FEW},
    "ars": {**TRAINED["ars"], "num_envs": 2, "steps": 800},
    "slateq": {"agent": "slateq", "options": {**SLATEQ, "segment": 4, "replay": 1}, **FEW},
}

ENCODERS = {
    "pooled": {},
    "gru": {"size": 4, "epochs": 2},
    "transformer": {"size": 4, "epochs": 2},
    "attention": {"size": 4, "epochs": 2},
    "tower-heads": {"width": 8, "epochs": 2},
    "item-knn": {"neighbours": 10, "width": 8},
    "user-knn": {"neighbours": 10, "width": 8},
    "als": {"width": 8, "iterations": 3},
    "svd": {"width": 8},
    "lightgcn": {"size": 4, "epochs": 2},
    "cold-start": {"inner": "svd", "inner_settings": {"width": 8}},
}

RULES = {
    "popularity": {},
    "softmax": {"temperature": 0.1},
    "mmr": {"trade_off": 0.75},
    "fatigue": {"on": "similarity"},
    "minutes": {},
    "static-cap": {"cap": 3},
    "linucb": {"alpha": 1.0},
    "lints": {"play_alpha": 1.0},
    "personal-linucb": {"play_alpha": 0.5},
    "personal-lints": {"play_alpha": 0.5},
    "als": {"cap": 2},
}

MADE = (
    ("longplay/Tiny-v0", {}),
    ("longplay/Tiny-v0", {"dynamics_strength": 0.5, "reward": "clicks"}),
    ("longplay/Video-v0", {"catalog": playing.CATALOG, "scenario": playing.SCENARIO, "world_seed": 3}),
    ("longplay/Video-v0", {"catalog": playing.CATALOG, "scenario": playing.FEW_USERS, "split": "test"}),
    ("longplay/NewsShifted-v0", {"catalog": playing.CATALOG, "scenario": playing.FEW_USERS, "reward": "returns"}),
)


def main():
    """Make everything in an empty folder, and put it in the place of what was there."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        write_catalog()
        setting = playing.make_setting()
        context = make_context(setting)
        expected = save_encoders(context) | save_models()
        save_rules(context)
        save_offline(setting)
        save_linear(setting)
        save_trained(setting)
        slates = {path: playing.play(playing.load(Path(path), setting), setting) for path in sorted(policies())}
        curves = save_interrupted(setting)
        study = save_study(setting)
        save_lives(setting)
        save_specs()
        save_file({name: np.ascontiguousarray(value) for name, value in expected.items()}, playing.EXPECTED)
        write_json(playing.PLAYED, {"slates": slates, "curves": curves, "study": study})
        os.chdir(Path(__file__).parent)
        shutil.rmtree(playing.SAVED, ignore_errors=True)
        shutil.copytree(place, playing.SAVED)


def write_json(name, content):
    """Write JSON, one line for each part of a part."""
    lines = [
        f" {json.dumps(key)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(part, separators=(',', ':'))}" for name, part in value.items())
        + "\n }"
        for key, value in content.items()
    ]
    Path(name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def write_catalog():
    """Items, their vectors, and the scenario, as a user would write them."""
    catalog = api.make_catalog(ITEMS)
    columns = {"id": catalog.ids, "text": catalog.texts, "topics": ["|".join(names) for names in catalog.topics]}
    columns |= {"minutes": catalog.minutes.round(2), "popularity": (100 * catalog.popularity).round(3)}
    columns |= {"rating": (10 * catalog.rating).round(3), "published": catalog.published.astype(int)}
    pd.DataFrame(columns).to_csv(playing.CATALOG, index=False)
    Path(playing.SCENARIO).write_text(SCENARIO, encoding="utf-8")
    raw = api.random_vectors(catalog)
    save_file({"vectors": raw / np.linalg.norm(raw, axis=1, keepdims=True)}, playing.VECTORS)


def make_context(setting):
    """What rules share, fitted on little; its trees are few, for they would be half a megabyte."""
    context = api.Context(setting, logged_steps=2, log_users=60, log_lives=1)
    env = setting.vector_env(64, "items", autoreset_mode="SameStep")
    inputs, minutes = api.logged_minutes(context.scorer, env, 4, 0)
    model = HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=api.LEAVES, min_samples_leaf=50, random_state=0)
    context.minutes = api.PredictedMinutes(context.scorer, api.Trees.of(model.fit(inputs, minutes)))
    return context


def save_encoders(context):
    """Encoders fitted on a log of random slates, and what they make of some observations."""
    train, validation = api.hold_back(context.log)
    histories = {name: rows[::5] for name, rows in logged(context.setting, 8).items() if name.startswith("history_")}
    save_file({name: np.ascontiguousarray(rows) for name, rows in histories.items()}, playing.OBSERVATIONS)
    expected = {}
    for name, changes in ENCODERS.items():
        encoder = api.ENCODERS[name].make(context.setting.items, **changes)
        if encoder.needs_fit:
            encoder.fit(train, validation)
        encoder.save(Path("encoders") / name)
        expected |= {f"encoders/{name}/{part}": rows for part, rows in playing.encoded(encoder, histories).items()}
    return expected


def logged(setting, users):
    """Observations along the lives of some users who are shown random slates."""
    policy = api.Exploring(setting.world)
    part = api.collect(api.make_env(setting.world, users), policy, range(users), luck=1, episodes=users)
    return {
        name.removeprefix("observations/"): rows[:60]
        for name, rows in part.episodes.items()
        if name.startswith("observations/")
    }


def save_models():
    """Small models fitted on what is drawn, and what they say."""
    folder, rng = Path("models"), np.random.default_rng(0)
    x, y, days = rng.normal(size=(200, 3)), rng.normal(size=(200, 4)), rng.exponential(size=200) + 2.0
    happened = x[:, 0] + rng.normal(size=200) > 0
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    models = {
        "interest.safetensors": api.InterestPredictor.fit(x, y, happened),
        "matched-interest.safetensors": api.InterestPredictor.fit(x, y[:, :3], happened, match=True),
        "rating.safetensors": api.RatingPredictor.fit(x, y, rng.random(200), components=2),
        "retention.safetensors": api.RetentionPredictor.fit(x, y, happened),
        "components.safetensors": api.Components.fit(x, 2),
        "return-time.safetensors": api.ReturnTime.fit(x[:60], days[:60].round(1), happened[:60]),
        "platt.safetensors": api.Platt.fit(rng.random(200), happened),
        "isotonic.safetensors": api.Isotonic.fit(rng.random(200), happened),
        "standardiser.json": api.Standardiser.fit(table),
        "categories.json": api.Categories.fit(pd.DataFrame({"country": ["FR", "DE", "US"]})),
    }
    for name, model in models.items():
        model.save(folder / name)
    return {f"models/{name}": playing.predicted(folder / name) for name in models}


def save_rules(context):
    """Rules with options given, and one whose options were searched."""
    for name, options in RULES.items():
        tuned = api.Tuned(name, api.RULES[name].options(**options))
        api.save_rule(tuned, Path("rules") / name, context)
    users = np.arange(160, 164)
    judge = api.Evaluator(context.setting.world, context.setting.item_vectors, users, 7)
    api.save_rule(api.tune("dpp", context, judge, trials=3), Path("rules/searched"), context)


def save_offline(setting):
    """A log with propensities, and policies learned from it."""
    policy = api.PlackettLuce(api.weighted_scores(setting.scorer, {"length": 1.0}), setting.scorer.slots, 0.5)
    log = api.log_lives(setting.world, setting.item_vectors, policy, np.arange(4), 0, 5)
    api.write_log(Path("log"), log, setting, policy.name, 0)
    inputs = api.SlateInputs(setting.scorer, Reading(setting, "pooled").state_encoder)
    for agent in ("bc", "iql", "cql"):
        config = api.OfflineConfig(agent, updates=20, batch=16, hidden=4, match=2)
        api.save_offline(api.learn(log, inputs, config), Path("offline") / agent)


def save_linear(setting):
    """A linear oracle whose weights were searched a little."""
    playing.fit_linear(setting).save(Path("linear.json"))


def save_trained(setting):
    """Runs that were trained to the end; their checkpoints are not kept."""
    for name, changes in TRAINED.items():
        folder = Path("trained") / name
        config = playing.NarrowRun(setting=setting, **COMMON, **changes)
        api.train(config, folder, False, playing.ignore, seconds=1e9)
        (folder / api.CHECKPOINT).unlink()


def policies():
    """Paths of all that chooses slates."""
    for kind in ("trained", "rules", "offline"):
        yield from (path.as_posix() for path in Path(kind).iterdir())
    yield "linear.json"


class Enough(Exception):  # noqa: N818  # it is no error
    """Interrupts a training."""


def save_interrupted(setting):
    """Trainings that were interrupted half-way, and what becomes of them: the same as if they had not been."""
    found = {}
    for name, changes in INTERRUPTED.items():
        config = playing.NarrowRun(setting=setting, **{**COMMON, **changes})
        folder, straight = Path("interrupted") / name, Path("straight") / name

        def stop(row, half=config.steps / 2):
            if row["step"] >= half:
                raise Enough

        with contextlib.suppress(Enough):
            api.train(config, folder, False, stop, seconds=0.0)
        shutil.copytree(folder, Path("copy") / name)
        found[folder.as_posix()] = playing.resume(Path("copy") / name)
        curve = playing.read_curve(api.train(config, straight, False, playing.ignore).to_csv(index=False))
        pd.testing.assert_frame_equal(playing.read_curve(found[folder.as_posix()]["curve"]), curve)
    for folder in ("straight", "copy"):
        shutil.rmtree(folder)
    return found


def save_study(setting):
    """A search for settings with two of three trials done, and its third trial."""
    config = api.RunConfig(setting=setting, **playing.SEARCHED)
    folder = Path("study")
    search = api.SettingsSearch(folder, config, api.make_run_space(config), seed=0)
    for _ in range(2):
        number = search.next(3)
        search.tell(number, api.run_trial(folder, number, search.propose(number), False, playing.ignore))
    api.write_preset(search.preset("video", "python scripts/tune.py"), Path("preset.toml"))
    for trial in folder.glob("trial-*"):
        shutil.rmtree(trial)
    shutil.copytree(folder, Path("copy/study"))
    found = playing.go_on(Path("copy/study"), setting)
    shutil.rmtree("copy")
    return found


def save_lives(setting):
    """Whole transitions of two lives, as Minari keeps them."""
    env, policy = api.make_env(setting.world, 2), api.Exploring(setting.world)
    part = api.collect(env, policy, range(2), luck=2, episodes=2)
    api.write_minari(Path("lives"), [part.episodes], env, setting, policy.name, 2)


def save_specs():
    """Specifications of environments as Gymnasium writes them: registered, and made with keywords."""
    registered, made = {}, {}
    for name in api.ENVIRONMENTS:
        spec = gymnasium.spec(name)
        registered[name] = {"spec": spec.to_json(), "lived": playing.live(copy.deepcopy(spec), **playing.smaller(name))}
    for number, (name, changes) in enumerate(MADE):
        env = gymnasium.make(name, **changes)
        made[f"{name} {number}"] = {"spec": env.spec.to_json(), "lived": playing.live(name, **changes)}
    write_json(playing.SPECS, {"registered": registered, "made": made})


if __name__ == "__main__":
    main()
