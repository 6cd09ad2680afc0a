"""PPO written for batches of users against stable-baselines3's own."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CallbackList, ConvertCallback

from longplay.agents.runs.config import RunConfig
from longplay.agents.runs.reading import Reading, read_run
from longplay.agents.sb3.batched_ppo import BatchedPPO, Towers
from longplay.agents.sb3.training import SB3Trainer
from longplay.tests.agents.small import tiny_run

OPTIONS = {"n_steps": 24, "batch_size": 21, "n_epochs": 3, "ent_coef": 0.02, "clip_range": 0.05}
USERS = 7  # halves that are not alike


def make_model(setting, arithmetic, **changes):
    """The model of a run in front of its training users, met already; 1 is stable-baselines3's own."""
    options = {**OPTIONS, **changes}
    config = RunConfig(setting, num_envs=USERS, arithmetic=arithmetic, learning_rate=3e-3, options=options)
    trainer = config.entry.make_trainer(config, read_run(config))
    assert isinstance(trainer, SB3Trainer)
    trainer.start()
    trainer.model._setup_learn(10**6)
    return trainer.model


def collect(model):
    """One rollout."""
    callback = CallbackList([ConvertCallback(lambda *_: True)])
    callback.init_callback(model)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model.rollout_buffer


def test_it_is_what_runs_train_and_saved_ones_go_on_with_the_other(setting):
    assert type(make_model(setting, 2)) is BatchedPPO
    assert type(make_model(setting, 1)) is PPO


def test_rollouts_are_those_of_stable_baselines3(setting):
    models = [make_model(setting, arithmetic) for arithmetic in (1, 2)]
    for model in models:
        with torch.no_grad():
            model.policy.log_std.fill_(-18.0)  # whose actions are the mean, whatever is drawn
    truncated = 0
    for _ in range(6):
        stock, own = map(collect, models)
        for name in ("observations", "actions", "rewards", "values", "returns", "advantages"):
            np.testing.assert_allclose(getattr(own, name), getattr(stock, name), rtol=2e-4, atol=2e-4, err_msg=name)
        np.testing.assert_array_equal(own.episode_starts, stock.episode_starts)
        truncated += stock.episode_starts.sum()
    assert truncated > 6  # lives ended, and what followed them is another's
    stock, own = models
    np.testing.assert_allclose(own._last_obs, stock._last_obs, rtol=1e-5, atol=1e-5)
    assert own.num_timesteps == stock.num_timesteps == 6 * OPTIONS["n_steps"] * USERS
    lives = [sorted(episode["r"] for episode in model.ep_info_buffer) for model in models]
    np.testing.assert_allclose(*lives, rtol=1e-4)


def test_what_was_drawn_has_the_density_that_is_kept(setting):
    buffer = collect(model := make_model(setting, 2))
    states, actions = (torch.from_numpy(getattr(buffer, name)).flatten(0, 1) for name in ("observations", "actions"))
    values, density, _ = model.policy.evaluate_actions(states, actions)
    np.testing.assert_allclose(buffer.log_probs.ravel(), density.detach(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(buffer.values.ravel(), values.detach()[:, 0], rtol=1e-4, atol=1e-5)
    spread = (actions - model.policy.get_distribution(states).distribution.mean).std().item()
    assert spread == pytest.approx(float(model.policy.log_std.detach().exp().mean()), rel=0.1)


@pytest.mark.parametrize("target_kl", [None, 0.003])
def test_updates_are_those_of_stable_baselines3(setting, target_kl):
    stock, own = (make_model(setting, arithmetic, target_kl=target_kl) for arithmetic in (1, 2))
    collect(own)
    theirs = stock.rollout_buffer
    theirs.reset()
    for name in ("observations", "actions", "rewards", "values", "returns", "advantages", "log_probs"):
        getattr(theirs, name)[...] = getattr(own.rollout_buffer, name)
    theirs.full = True
    # Theirs are one user after the other, ours one moment after the other: the same rows are drawn by another order.
    rows = np.arange(OPTIONS["n_steps"] * USERS).reshape(OPTIONS["n_steps"], USERS).T.ravel()
    before = [parameter.detach().clone() for parameter in own.policy.parameters()]
    drawn = np.random.RandomState(4)
    orders = [drawn.permutation(len(rows)) for _ in range(OPTIONS["n_epochs"])]
    for model, of in ((stock, lambda order: order), (own, lambda order: rows[order])):
        given = iter(orders)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.random, "permutation", lambda count, given=given, of=of: of(next(given)))
            model.train()
    moved = 0.0
    for a, b, start in zip(own.policy.parameters(), stock.policy.parameters(), before, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=1e-3, atol=2e-5)
        moved += float((a.detach() - start).abs().sum())
    assert moved > 1.0
    assert own._n_updates == stock._n_updates
    assert (own._n_updates < OPTIONS["n_epochs"]) == (target_kl is not None)


def test_gradients_are_those_of_the_tape(setting):
    model = make_model(setting, 2)
    towers, rng = Towers(model.policy), torch.Generator().manual_seed(0)
    states = torch.randn(20, model.observation_space.shape[0], generator=rng)
    mean, values = torch.randn(20, 10, generator=rng), torch.randn(20, generator=rng)
    seen = towers.run(states)
    found = towers.differentiate(seen, mean, values)
    distribution = model.policy.get_distribution(states).distribution
    torch.testing.assert_close(seen.mean, distribution.mean.detach())
    loss = (distribution.mean * mean).sum() + (model.policy.predict_values(states)[:, 0] * values).sum()
    expected = torch.autograd.grad(loss, towers.parameters[:-1])
    torch.testing.assert_close(found, list(expected), rtol=1e-4, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(setting):
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            model = make_model(setting, 2)
            model.learn(3 * OPTIONS["n_steps"] * USERS, reset_num_timesteps=False)
        finally:
            torch.set_num_threads(1)
        found.append({name: value.numpy().copy() for name, value in model.policy.state_dict().items()})
    np.testing.assert_equal(*found)


def test_runs_in_fewer_dimensions_read_narrower_states(setting):
    few, all_of_them = tiny_run(setting, dimensions=5), tiny_run(setting)
    widths = [read_run(config).state_encoder.width for config in (few, all_of_them)]
    assert widths[1] - widths[0] == setting.item_vectors.shape[1] - 5
    assert few.label == f"{all_of_them.label} 5 dimensions"
    assert read_run(few).state_encoder.identity != read_run(all_of_them).state_encoder.identity
    # What is found is found by the whole vectors.
    envs = [read_run(config).make_training_env(5) for config in (few, all_of_them)]
    np.testing.assert_equal(*(env.reset(seed=1)[0]["candidates"] for env in envs))
    assert Reading(setting, dimensions=10**6).scorer.vectors.shape == Reading(setting).scorer.vectors.shape
