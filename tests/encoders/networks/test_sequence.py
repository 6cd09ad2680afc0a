"""Sequences: the same vectors in training as in use, nothing from the future, learning of order and completion."""

import dataclasses

import numpy as np
import pytest
import torch

from longplay.encoders import EncoderError, Items, PooledHistory
from longplay.encoders.networks.sequence import Sequence, SequenceOptions, Windows
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items, make_log
from longplay.tests.encoders.small_logs import log_of

CELLS = ("gru", "lstm", "transformer", "attention")
SMALL = {"size": 16, "epochs": 5, "batch_size": 8, "learning_rate": 1e-2}
NAMES = ("history_ids", "history_completion", "history_age")


class TestGRU(EncoderContract):
    encoder = Sequence
    options = SequenceOptions(cell="gru", **SMALL)


class TestLSTM(EncoderContract):
    encoder = Sequence
    options = SequenceOptions(cell="lstm", layers=2, **SMALL)


class TestTransformer(EncoderContract):
    encoder = Sequence
    options = SequenceOptions(cell="transformer", layers=2, **SMALL)


class TestAttention(EncoderContract):
    encoder = Sequence
    options = SequenceOptions(cell="attention", **SMALL)
    inner_products = False


@pytest.fixture(params=CELLS)
def untrained(request):
    """Every weight drawn, so that no path is silent because it begins at zero; windows of five items."""
    return make_untrained(request.param)


def make_untrained(cell, **changes):
    options = SequenceOptions(cell=cell, size=8, layers=2, length=5, epochs=1, **changes)
    encoder = Sequence(make_items(9), options).fit(log_of([(0, 1, 0.0, 1.0), (0, 2, 1.0, 1.0)], items=9))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in encoder.network.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    return encoder


def walk(rows=5, users=4, seed=0, items=9):
    """A log of `rows` consumed items for each user, at times that are nowhere equal."""
    rng = np.random.default_rng(seed)
    return log_of(
        [(u, rng.integers(1, items + 1), t, rng.random()) for u in range(users) for t in 9.0 * rng.random(rows)],
        users=users,
        items=items,
    )


# --- Orientation, ages, causality ----------------------------------------------------------------------------------


def test_a_position_in_training_is_the_history_as_observed_then(untrained):
    log, network = walk(), untrained.network
    batch = Windows(log, 5).arrays
    with torch.inference_mode():
        table = network.look_up_items()
        tokens, gap = network.make_tokens(batch["ids"], batch["completion"], batch["gap"], table)
        trained = network.read_tokens(tokens, gap, None).numpy()
        scores = trained @ table.numpy().T + network.bias.numpy()
        if untrained.options.cell == "attention":
            scores += network.cell.score_candidates(tokens, gap, None, table).numpy()
    for user in range(4):
        for position, time in enumerate(log.time[log.user == user]):
            observed = log.histories([user], time, length=5)
            np.testing.assert_allclose(untrained.encode(observed)[0, :-1], trained[user, position], atol=2e-5)
            np.testing.assert_allclose(untrained.score(observed)[0, 1:], scores[user, position, 1:], atol=2e-4)


def test_a_log_and_an_observation_written_by_hand_are_the_same_history(untrained):
    log = log_of([(1, 4, 2.0, 0.5), (1, 7, 2.5, 1.0), (1, 2, 6.0, 0.1), (1, 9, 7.0, None)], items=9)
    by_hand = {
        "history_ids": [[2.0, 7.0, 4.0, 0.0, 0.0, 0.0]],
        "history_completion": [[0.1, 1.0, 0.5, 0.0, 0.0, 0.0]],
        "history_age": [[2.0, 5.5, 6.0, 0.0, 0.0, 0.0]],
    }
    by_hand = {name: np.array(rows, np.float32) for name, rows in by_hand.items()}
    expected = untrained.encode(log.histories([1], before=8.0, length=3))
    np.testing.assert_allclose(untrained.encode(by_hand), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["history_completion", "history_age", "history_ids"])
def test_each_part_of_a_history_counts_and_so_does_the_order(untrained, name):
    histories = make_observation(12, items=9, history=5)
    other = {key: histories[key].copy() for key in NAMES}
    full = histories["history_ids"].all(axis=1)
    other[name][full] = 1.0 if name == "history_age" else other[name][full][:, ::-1]
    assert (np.abs(untrained.encode(other) - untrained.encode(histories))[full].max(axis=1) > 1e-3).all()


def test_what_comes_later_changes_no_earlier_position(untrained):
    network, (first, second) = untrained.network, (Windows(walk(6, seed=seed), 5).arrays for seed in (1, 2))
    with torch.inference_mode():
        for cut in range(5):
            mixed = {n: torch.cat([first[n][:, :cut], second[n][:, cut:]], dim=1) for n in ("ids", "completion", "gap")}
            parts = []
            for batch in (first, mixed):
                tokens, gap = network.make_tokens(
                    batch["ids"], batch["completion"], batch["gap"], network.look_up_items()
                )
                parts.append(network.read_tokens(tokens, gap, None))
            torch.testing.assert_close(parts[1][:, : cut + 1], parts[0][:, : cut + 1], atol=1e-5, rtol=0)
            assert (parts[1] - parts[0])[:, cut + 1].abs().max() > 1e-3


def test_padding_anywhere_changes_nothing(untrained):
    dense = make_observation(9, items=9, history=3)
    holes = {name: np.zeros((9, 5), np.float32) for name in NAMES}
    for name in NAMES:
        holes[name][:, [0, 2, 4]] = dense[name]
    np.testing.assert_allclose(untrained.encode(holes), untrained.encode(dense), atol=1e-5)
    holes["history_age"][:, [1, 3]] = 99.0  # whatever stands beside no item
    np.testing.assert_allclose(untrained.encode(holes), untrained.encode(dense), atol=1e-5)


def test_only_the_most_recent_items_are_read(untrained):
    histories = make_observation(9, items=9, history=8)
    recent = {name: histories[name][:, :5] for name in NAMES}
    np.testing.assert_array_equal(untrained.encode(histories), untrained.encode(recent))
    shares = untrained.contributions(histories, np.arange(1, 10))
    np.testing.assert_array_equal(shares[:, 5:], 0.0)


# --- Windows -------------------------------------------------------------------------------------------------------


def test_a_window_by_hand():
    log = log_of([(0, 3, 1.0, 0.5), (0, 5, 1.5, None), (0, 1, 4.0, 0.25), (2, 2, 0.0, 1.0)])
    arrays = {name: array.tolist() for name, array in Windows(log, 3).arrays.items()}
    assert arrays == {
        "ids": [[3, 0, 0], [0, 0, 0]],
        "completion": [[0.5, 0, 0], [0, 0, 0]],
        "gap": [[3.0, 0, 0], [0, 0, 0]],
        "target": [[3, 1, 0, 0], [2, 0, 0, 0]],
        "target_completion": [[0.5, 0.25, 0, 0], [1.0, 0, 0, 0]],
    }


@pytest.mark.parametrize("length", [1, 2, 5, 20])
@pytest.mark.parametrize("rows", [1, 6, 7, 40, 41])
def test_every_row_is_foretold_once_with_half_a_window_before_it(length, rows):
    log = walk(rows, users=3, items=500)
    arrays = {name: array.numpy() for name, array in Windows(log, length).arrays.items()}
    asked = arrays["target"] > 0
    assert sorted(arrays["target"][asked].tolist()) == sorted(log.item.tolist())
    for window, position in zip(*np.nonzero(asked), strict=True):
        before = arrays["ids"][window, :position]
        row = int(np.flatnonzero((log.item == arrays["target"][window, position]) & (log.item > 0))[0])
        if (log.item == log.item[row]).sum() == 1:
            since = int((log.user[:row] == log.user[row]).sum())
            assert position >= min(since, length - length // 2)
            np.testing.assert_array_equal(before, log.item[row - position : row])


# --- Learning ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cycle():
    """After item i comes item i + 1, after the last the first: twelve items, forty users, vectors that say nothing."""
    rng = np.random.default_rng(0)
    rows = [(u, (s + k) % 12 + 1, k + u / 50, 1.0) for u, s in enumerate(rng.integers(12, size=40)) for k in range(15)]
    vectors = rng.normal(size=(12, 12)).astype(np.float32)
    return Items(tuple(f"Item {i}." for i in range(12)), vectors, np.ones(12, np.float32)), log_of(
        rows, users=40, items=12
    )


def recall_at_1(encoder, log):
    """Of the item that comes after six on the circle."""
    histories = log.histories(np.arange(40), before=6.0, length=20)
    expected = histories["history_ids"][:, 0] % 12 + 1
    return (encoder.score(histories).argmax(axis=1) == expected).mean()


@pytest.mark.parametrize("changes", [{"cell": "gru"}, {"cell": "lstm"}, {"cell": "transformer"}, {"negatives": 5}])
def test_order_is_learnt_where_pooling_cannot(cycle, changes):
    items, log = cycle
    options = SequenceOptions(**{"size": 32, "epochs": 12, "batch_size": 4, "learning_rate": 1e-2} | changes)
    assert recall_at_1(Sequence(items, options).fit(log), log) >= 0.9
    assert recall_at_1(PooledHistory(items), log) < 0.5


def test_completion_is_learnt_of_user_and_item():
    """Odd users finish odd items, even users even ones."""
    rng = np.random.default_rng(0)
    drawn = [(u, item, t) for u in range(40) for t, item in enumerate(rng.integers(1, 9, size=16))]
    log = log_of([(u, item, t, 0.9 if (u + item) % 2 == 0 else 0.1) for u, item, t in drawn], users=40, items=8)
    options = SequenceOptions(completion_weight=1.0, dropout=0.0, **SMALL | {"epochs": 30, "batch_size": 4})
    encoder = Sequence(make_items(8), options).fit(log)
    users = np.arange(40)
    histories = log.histories(users, before=12.0)
    for item in (5, 6):
        truth = np.where((users + item) % 2 == 0, 0.9, 0.1)
        assert np.abs(encoder.predict_completion(histories, np.full(40, item)) - truth).mean() < 0.15


def test_an_item_never_met_is_its_text_alone():
    log = make_log()
    rare = log.take(~np.isin(log.item, (3, 4)))
    encoder = Sequence(make_items(), SequenceOptions(**SMALL | {"epochs": 12})).fit(rare)
    network = encoder.network
    with torch.inference_mode():
        by_text = network.text(network.vectors).numpy()
    np.testing.assert_allclose(encoder.item_vectors[3:5, :-1], by_text[3:5], atol=1e-6)
    np.testing.assert_array_equal(encoder.item_vectors[3:5, -1], 0.0)
    assert np.abs(encoder.item_vectors[5:, :-1] - by_text[5:]).max() > 1e-3
    scores = encoder.score(log.histories(np.arange(20), before=100.0))
    assert ((scores[:, 3] < scores[:, 4]) == (np.arange(20) % 2 == 1)).mean() >= 0.9  # the text says whose they are


def test_training_stops_when_validation_no_longer_improves():
    rows = []
    options = SequenceOptions(**SMALL | {"epochs": 60, "patience": 2})
    Sequence(make_items(), options).fit(make_log(), make_log(seed=1, start=10.0), report=rows.append)
    scores = [row["score"] for row in rows if "score" in row]
    assert len(scores) < 60
    assert np.argmax(scores) == len(scores) - 3


@pytest.mark.parametrize("items", [2, 6, 9])
def test_fewer_items_than_are_recommended(items):
    """A user who has met all but one item finds that one."""
    log = log_of([(0, i, float(i), 1.0) for i in range(1, items)] + [(1, items, 0.5, 1.0)], items=items)
    later = log_of([(0, items, 50.0, 1.0)], items=items)
    rows = []
    Sequence(make_items(items), SequenceOptions(epochs=1, size=4)).fit(log, later, report=rows.append)
    assert [row["score"] for row in rows if "score" in row] == [1.0]


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path):
    items, log, validation = make_items(), make_log(), make_log(seed=1, start=10.0)
    options = SequenceOptions(cell="lstm", **SMALL | {"epochs": 5})
    whole = Sequence(items, options).fit(log, validation, seed=2)

    def stop(row):
        if row["step"] > 20:
            raise KeyboardInterrupt

    half = Sequence(items, options)
    with pytest.raises(KeyboardInterrupt):
        half.fit(log, validation, seed=2, folder=tmp_path, report=stop)
    with pytest.raises(EncoderError, match="is not fitted"):
        half.item_vectors  # noqa: B018
    steps = []
    resumed = Sequence(items, options).fit(log, validation, seed=2, folder=tmp_path, report=steps.append)
    assert steps[0]["step"] > 4  # it did not begin anew
    np.testing.assert_array_equal(resumed.item_vectors, whole.item_vectors)


def test_fitting_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Sequence(make_items(), SequenceOptions(**SMALL | {"epochs": 1})).fit(make_log(users=8))
    assert torch.equal(torch.get_rng_state(), before)


# --- Parts ---------------------------------------------------------------------------------------------------------


def test_log_chances_are_those_of_being_among_the_rivals():
    network = make_untrained("gru", negatives=3).network
    counts = np.array([0, 50, 1, 0, 20, 9, 10, 2, 5, 3])
    network.set_counts(counts)
    found, claimed, generator = np.zeros(10), np.zeros(10), torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(1000):
            target = torch.multinomial(torch.tensor(counts, dtype=torch.float), 4, True, generator=generator)
            items, log_chance, place = network._draw_rivals(target)
            assert torch.equal(items[place], target)
            found[items] += 1
            claimed[items] = 1000 * log_chance.exp()
    np.testing.assert_allclose(found / 1000, claimed / 1000, atol=0.05)
    assert found[3] == 0  # never met


def test_contributions_of_attention_sum_to_the_score():
    encoder = make_untrained("attention")
    histories, item = make_observation(12, items=9, history=5), np.arange(12) % 9 + 1
    shares = encoder.contributions(histories, item)
    scores = encoder.score(histories)[np.arange(12), item] - encoder.item_vectors[item, -1]
    with torch.inference_mode():
        table = encoder.network.look_up_items()
        tokens, gap, last, _ = encoder.network.observe(*(torch.tensor(histories[n]) for n in NAMES), table=table)
        beginning = encoder.network.cell.compute_shares(tokens, gap, last, table[torch.from_numpy(item)])[:, 0].numpy()
    np.testing.assert_allclose(shares.sum(axis=1) + beginning, scores, rtol=1e-4, atol=1e-4)


def test_attention_scores_do_not_depend_on_how_they_are_cut(monkeypatch):
    encoder, histories = make_untrained("attention"), make_observation(12, items=9, history=5)
    whole = encoder.score(histories)
    monkeypatch.setattr("longplay.encoders.networks.sequence._WIDE", 50)  # five users at once
    np.testing.assert_allclose(encoder.score(histories), whole, atol=1e-5)


def test_the_network_trains_on_as_part_of_another(untrained):
    """As a features extractor: gradients reach it, and what it then gives is what `encode` gives."""
    histories = make_observation(12, items=9, history=5)
    before = untrained.encode(histories)
    untrained.item_vectors  # noqa: B018  # whatever is kept must not outlive the step
    optimizer = torch.optim.AdamW(untrained.network.parameters(), lr=0.01, fused=True)
    features = untrained.network.forward_history(*(torch.from_numpy(histories[name]) for name in NAMES))
    assert features.shape == (12, untrained.width)
    np.testing.assert_allclose(features.detach().numpy(), before, atol=1e-5)
    features.square().sum().backward()
    silent = {name for name, weight in untrained.network.named_parameters() if weight.grad is None}
    assert not {name for name in silent if not name.startswith(("finished", "bias", "cell.candidate", "cell.sharp"))}
    untrained.encode(histories)
    optimizer.step()
    with torch.no_grad():
        after = untrained.network.forward_history(*(torch.from_numpy(histories[name]) for name in NAMES)).numpy()
    np.testing.assert_array_equal(untrained.encode(histories), after)
    assert np.abs(after - before).max() > 1e-3


def test_a_loaded_network_says_that_its_own_loss_is_gone(untrained, tmp_path):
    batch = Windows(log_of([(0, 1, 0.0, 1.0), (0, 2, 1.0, 1.0)], items=9), 5).arrays
    assert torch.isfinite(untrained.network(**batch)["loss"])
    untrained.save(tmp_path)
    loaded = Sequence.load(tmp_path, untrained.items)
    with pytest.raises(EncoderError, match=r"is not saved\. Fix: train on through forward_history, or fit the encoder"):
        loaded.network(**batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rnn"}, "cell = 'rnn' is unknown.*; allowed: 'gru', 'lstm', 'transformer', 'attention'"),
        ({"size": 0}, "size = 0 is out of range; allowed: 1 to 4096"),
        ({"ids": 1}, "ids = 1 must be True or False"),
        ({"size": 10, "heads": 4}, "size = 10 is no multiple of heads = 4"),
        ({"epochs": 0}, "epochs = 0 is out of range"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SequenceOptions(**options)


def test_validation_without_anything_to_find_is_refused():
    log = make_log(users=6)
    with pytest.raises(EncoderError, match="no user likes a new item in the validation rows"):
        Sequence(make_items(), SequenceOptions(**SMALL)).fit(log, log)


def test_weights_of_other_options_are_refused():
    encoder = make_untrained("gru")
    other = Sequence(encoder.items, dataclasses.replace(encoder.options, size=4))
    with pytest.raises(EncoderError, match="the weights do not fit the options"):
        other._restore(encoder._weights())
