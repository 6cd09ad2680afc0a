"""The names that users import: few, listed here, and each imported only when it is asked for."""

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "longplay": """
        Catalog CatalogError ENVIRONMENTS Scenario ScenarioError SlateEnv SlateVectorEnv TextEncoder World
        answer_by attribute_to_text build_world fill_from_log load_films make_world
    """,
    "longplay.envs": """
        Catalog CatalogError ContextColumn ENVIRONMENTS EnoughError NamedEnv Question Reader Retriever Scenario
        ScenarioError Scorer SlateEnv SlateVectorEnv World answer_by build_world fill_from_log listen_to load_films
        make_vector_env make_world
        Control Feed FeedShifted Garden GardenShifted Habit HabitShifted Minds MindsShifted News NewsShifted
        NewsShiftedV1 NewsV1 Season Shop ShopShifted ShopShiftedV1 ShopV1
        Social SocialShifted SocialShiftedV1 SocialV1 Tiny TinyTrust Video VideoShifted VideoShiftedV1 VideoV1
    """,
    "longplay.encoders": """
        ENCODERS Encoder EncoderError Interactions Items LogError ModelError PooledHistory StateEncoder TextEncoder
        TextHistory behaviour_to_text evaluate load_encoder
    """,
    "longplay.agents": """
        AGENTS Agent Evaluator Learner LearnerEntry REFERENCES RULES RatesItems RunConfig Setting SlateAgent Trainer
        load_agent train
    """,
    "longplay.agents.sb3": "RecurrentAgent SB3Agent SB3Entry SlatePolicy SlateStates SlateVecEnv",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_exports_what_is_listed(package):
    module = importlib.import_module(package)
    assert module.__all__ == sorted(PUBLIC[package].split()) == dir(module)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_every_environment_has_its_address_in_envs():
    from longplay import ENVIRONMENTS, envs

    for entry in ENVIRONMENTS.values():
        assert getattr(envs, entry.__name__) is entry


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import longplay", {"numba", "pandas", "scipy", "torch"}),
        ("import longplay; list(longplay.ENVIRONMENTS)", {"numba", "pandas", "scipy", "torch"}),
        ("import longplay.encoders, longplay.agents", {"numba", "pandas", "scipy", "torch"}),
        ("from longplay.agents import RULES; RULES['mmr'], RULES['static-cap'], RULES['linucb']", {"torch"}),
        ("from longplay.agents import REFERENCES; REFERENCES['myopic']", {"torch"}),
        ("from longplay.encoders import ENCODERS; ENCODERS['item-knn']", {"torch", "torch_geometric"}),
        ("from longplay.encoders import ENCODERS; ENCODERS['lightgcn']", {"torch_geometric"}),
        ("from longplay.agents import AGENTS; AGENTS['slateq']", {"stable_baselines3", "torch_geometric"}),
        ("import gymnasium, longplay; gymnasium.make('longplay/Tiny-v0')", {"torch", "transformers", "matplotlib"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code, unwanted):
    code += "; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"longplay", "gymnasium"} <= loaded
    assert not loaded & unwanted
