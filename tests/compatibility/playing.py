"""How what is saved is loaded and played, by the script that saved it and by the test that loads it.

All paths are relative: the working directory is a copy of ``saved``.
"""

import io
import json
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file

from longplay.agents.runs.reading import Reading
from longplay.tests.compatibility import api

SAVED = Path(__file__).parent / "saved"
CATALOG, SCENARIO, VECTORS = "items.csv", "small.toml", "vectors.safetensors"
OBSERVATIONS, EXPECTED, PLAYED, SPECS = "observations.safetensors", "expected.safetensors", "played.json", "specs.json"
LUCK, USERS, SLATES = 5, 6, 6  # of the lives in which policies are played
FEW_USERS = {"shape.users": 40}
# The run whose settings are searched.
SEARCHED = {
    "agent": "slateq",
    "steps": 64,
    "num_envs": 4,
    "eval_users": 4,
    "evals": 1,
    "options": {"hidden": 4, "match": 2, "segment": 8, "batch": 16},
}


class NarrowRun(api.RunConfig):
    """A run of stable-baselines3 with narrow networks, which take little room; everything else is as shipped."""

    @property
    def algorithm_arguments(self):
        known = super().algorithm_arguments
        if self.agent == "ars":
            return known
        of_slates = self.action == "candidates" and self.agent in ("ppo", "a2c")
        narrow = {"hidden": 4, "match": 2} if of_slates else {"net_arch": [4, 4]}
        return {**known, "policy_kwargs": {**known.get("policy_kwargs", {}), **narrow}}


def make_setting():
    """The setting of all that is saved, with vectors that no BERT has to be loaded for."""
    return with_vectors(api.Setting("longplay/Video-v0", catalog=CATALOG, scenario=SCENARIO))


def with_vectors(setting):
    """A setting that has its item vectors already."""
    setting.__dict__["item_vectors"] = load_file(VECTORS)["vectors"]
    return setting


def read_run(folder):
    """The configuration of a run."""
    config = NarrowRun.from_json(folder / "config.json")
    with_vectors(config.setting)
    return config


def load(path, setting):
    """Anything that chooses slates, from where it was saved."""
    kind = path.parts[0]
    if kind == "trained":
        return api.load_agent(path, read_run(path), setting)
    if kind == "rules":
        return api.load_rule(path, setting)[1]
    if kind == "offline":
        return api.load_offline(path, api.SlateInputs(setting.scorer, Reading(setting, "pooled").state_encoder))
    assert path.name == "linear.json"
    return api.LinearOracle.load(path, setting.world)


def fit_linear(setting):
    """A linear oracle whose weights were searched a little, as the search was when it was saved."""
    search = api.WeightSearch(users=4, population=4, elites=2, iterations=2, validation_users=4, spread=0.4)
    older = {"more": False, "sweep": api.SweepOptions(grid=(0.0,))}
    return api.LinearOracle.fit(setting.world, setting.item_vectors, search, shortlist=16, **older)


def play(agent, setting):
    """Slates (T, B, K) in the lives of a few users, as a list; zeros for who has left."""
    env = setting.vector_env(USERS, "items", autoreset_mode="Disabled", privileged=True, split="test")
    observation, info = env.reset(seed=LUCK)
    active, following = np.ones(USERS, bool), api.Following(agent, USERS)
    shown = np.zeros((SLATES, *env.action_space.shape), np.int64)
    for slates in shown:
        if not active.any():
            break
        seen = {**observation, "latent": info["latent"]} if agent.privileged else observation
        slates[active] = following.act(api.rows(seen, active), active)
        observation, _, terminated, truncated, info = env.step(slates)
        active &= ~(terminated | truncated)
    return shown.tolist()


def encoded(encoder, histories):
    """What an encoder makes of histories and of items."""
    return {"users": encoder.encode(histories), "items": encoder.item_vectors}


def predicted(path):
    """What a small fitted model says of columns that are drawn."""
    rng = np.random.default_rng(1)
    x, y, chances = rng.normal(size=(9, 3)), rng.normal(size=(9, 4)), rng.random(9)
    match path.name:
        case "interest.safetensors":
            return api.InterestPredictor.load(path).predict(x, y)
        case "matched-interest.safetensors":
            return api.InterestPredictor.load(path).predict(x, y[:, :3])
        case "rating.safetensors":
            return api.RatingPredictor.load(path).predict(x, y)
        case "retention.safetensors":
            return api.RetentionPredictor.load(path).predict(x, y)
        case "components.safetensors":
            return api.Components.load(path)(x)
        case "return-time.safetensors":
            return api.ReturnTime.load(path).survival(x, [0.5, 1.0, 2.0])
        case "platt.safetensors":
            return api.Platt.load(path)(chances)
        case "isotonic.safetensors":
            return api.Isotonic.load(path)(chances)
        case "standardiser.json":
            return api.Standardiser.load(path).transform(pd.DataFrame(x, columns=["a", "b", "c"]))
        case "categories.json":
            return api.Categories.load(path).transform(pd.DataFrame({"country": ["FR", "DE", "XX"]}))
    raise AssertionError(path)


def ignore(row):
    """Tell nobody how a training goes."""


def resume(folder):
    """Go on with a training that was interrupted: its curve, and the sum of the sizes of each of the weights."""
    config = read_run(folder)
    curve = api.train(config, folder, True, ignore, seconds=1e9)
    content = torch.load(folder / api.CHECKPOINT, weights_only=True)
    networks = {"policy": content["parameters"]["policy"]} if "parameters" in content else content["modules"]
    sums = {
        f"{network}.{name}": float(f"{weights.double().abs().sum():.9g}")
        for network, found in networks.items()
        for name, weights in found.items()
    }
    return {"curve": curve.to_csv(index=False), "weights": sums}


def read_curve(text):
    """A learning curve from its text."""
    return pd.read_csv(io.StringIO(text))


def go_on(folder, setting):
    """The trial of a search that is still to do: its settings and minutes."""
    config = api.RunConfig(setting=setting, **SEARCHED)
    search = api.SettingsSearch(folder, config, api.make_run_space(config), seed=0)
    number = search.next(3)
    minutes = api.run_trial(folder, number, search.propose(number), False, ignore)
    search.tell(number, minutes)
    assert search.next(3) is None
    return {"number": number, "parameters": search.study.trials[number].params, "minutes": minutes}


def live(spec, **changes):
    """Who is met in an environment made from its specification, and what is chosen from some slates there."""
    env = gymnasium.make(spec, **changes)
    _, info = env.reset(seed=7)
    found, rng = [int(info["user"])], np.random.default_rng(0)
    for _ in range(6):
        _, _, terminated, truncated, info = env.step(rng.integers(0, env.action_space.nvec))
        found.append(int(info["choice"]))
        if terminated or truncated:
            break
    env.close()
    return found


def smaller(name):
    """Changes of a registered environment by which it is made in a moment."""
    return {} if name.startswith("longplay/Tiny") else {"catalog": CATALOG, "scenario": FEW_USERS}


def read(name):
    """A JSON file."""
    return json.loads(Path(name).read_text(encoding="utf-8"))
