"""The graph against dense propagation in numpy, and new users against users of the log."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from longplay.encoders import EncoderError
from longplay.encoders.histories.frozen import normalise_rows
from longplay.encoders.histories.matrix import build_log_matrix
from longplay.encoders.networks.graph import LAYERS, Graph, GraphOptions
from longplay.encoders.networks.propagation import Propagation
from longplay.envs.candidates.pooling import pad_vectors
from longplay.tests.encoders.contracts import EncoderContract, make_observation
from longplay.tests.encoders.small import make_items, make_log

QUICK = {"size": 8, "epochs": 3, "batch_size": 256, "learning_rate": 0.1}


class TestLightGCN(EncoderContract):
    encoder = Graph
    options = GraphOptions(**QUICK)


class TestGCN(EncoderContract):
    encoder = Graph
    options = GraphOptions(layer="gcn", **QUICK)


class TestGAT(EncoderContract):
    encoder = Graph
    options = GraphOptions(layer="gat", **QUICK)


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture(scope="module", params=LAYERS)
def network(request, log):
    """A network with weights drawn at random, all of them in use."""
    torch.manual_seed(0)
    names = {"features": "both", "loss": "softmax", "size": 6, "rounds": 2, "heads": 2, "negatives": 0, "l2": 0.0}
    texts = pad_vectors(normalise_rows(make_items().vectors))
    made = Propagation(build_log_matrix(log, "completion"), texts, layer=request.param, **names)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape) * 0.5)
    return made


@pytest.fixture(scope="module")
def graph(network):
    """The encoder of that network."""
    made = Graph(make_items(), GraphOptions(layer=network.layer, size=6, rounds=2))
    made._keep_tables(network)
    made._fitted = True
    return made


def everything(log):
    """All that the users of the log consumed, as histories."""
    return log.histories(np.arange(log.users), before=100.0)


class TestPropagation:
    @pytest.mark.parametrize("network", ["lightgcn"], indirect=True)
    def test_lightgcn_as_powers_of_a_matrix(self, network, log):
        matrix = build_log_matrix(log, "completion").toarray().astype(float)
        degree = 1.0 + matrix.sum(axis=0)
        to_user = matrix / np.sqrt(matrix.sum(axis=1, keepdims=True) * degree)
        to_item = to_user.T
        first = network.compute_item_features().detach().numpy()
        items, users = network.propagate()
        for level in range(3):
            expected = np.linalg.matrix_power(to_item @ to_user, level) @ first
            np.testing.assert_allclose(items[level].detach(), expected, atol=1e-5)
            np.testing.assert_allclose(users[level].detach(), to_user @ expected, atol=1e-5)

    @pytest.mark.parametrize("network", ["gcn"], indirect=True)
    def test_gcn_as_dense_algebra(self, network, log):
        matrix = build_log_matrix(log, "completion").toarray().astype(float)
        degree = 1.0 + matrix.sum(axis=0)
        to_user = matrix / np.sqrt(matrix.sum(axis=1, keepdims=True) * degree)
        items, users = ([v.detach().numpy() for v in part] for part in network.propagate())
        for level in range(3):
            weight = network.to_user[level].lin.weight.detach().numpy()
            np.testing.assert_allclose(users[level], to_user @ items[level] @ weight.T, rtol=1e-4, atol=1e-5)
        weight = network.to_item[0].lin.weight.detach().numpy()
        sums = (to_user.T @ users[0] + items[0] / degree[:, None]) @ weight.T
        expected = np.where(sums > 0, sums, np.expm1(np.minimum(sums, 0.0)))
        np.testing.assert_allclose(items[1], expected, rtol=1e-4, atol=1e-5)

    def test_what_is_asked_sends_no_message(self, network):
        edge = torch.tensor([5])
        kept = torch.ones(len(network.user), dtype=torch.bool)
        kept[edge] = False
        _, users = network.propagate(kept)
        changed = network.weight.clone()
        changed[edge] = 0.9
        _, others = network.propagate()
        before, network.weight = network.weight, changed
        try:
            _, again = network.propagate(kept)
        finally:
            network.weight = before
        for one, other in zip(users, again, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert (users[0] - others[0])[network.user[edge]].abs().max() > 1e-4

    def test_nothing_consumed_competes(self, network, log):
        user, drawn = torch.tensor([3, 0]), torch.tensor([4, 9, 2, 30])
        matrix = build_log_matrix(log, "binary").toarray() > 0
        np.testing.assert_array_equal(network._find_consumed(user, drawn), matrix[[3, 0]][:, [4, 9, 2, 30]])

    @pytest.mark.parametrize("loss", ["softmax", "bpr"])
    def test_loss_falls_as_what_was_consumed_is_preferred(self, network, loss):
        before, network.loss = network.loss, loss
        try:
            edge, bias = torch.arange(8), network.compute_item_bias
            torch.manual_seed(0)
            usual = network(edge)["loss"]
            network.compute_item_bias = lambda: (
                bias() + 50.0 * torch.bincount(network.item[edge], minlength=31).clamp(max=1)
            )
            torch.manual_seed(0)
            assert network(edge)["loss"] < usual
        finally:
            network.loss = before
            del network.compute_item_bias


class TestNewUsers:
    def test_a_history_is_encoded_as_the_user_of_the_log_who_consumed_it(self, network, graph, log):
        _, users = network.propagate()
        expected = (network.readout(users) * network.sharpness.exp()).detach().numpy()
        np.testing.assert_allclose(graph.encode(everything(log))[:, :-1], expected, rtol=1e-4, atol=1e-5)

    def test_item_vectors_are_the_networks(self, network, graph):
        items, _ = network.propagate()
        expected = network.readout(items).detach().numpy()
        np.testing.assert_allclose(graph.item_vectors[1:, :-1], expected[1:], atol=1e-6)
        np.testing.assert_allclose(graph.item_vectors[1:, -1], network.compute_item_bias().detach()[1:], rtol=1e-6)

    def test_contributions_and_bias_sum_to_the_score(self, graph):
        histories, item = make_observation(9, items=30), np.arange(1, 10)
        total = graph.contributions(histories, item).sum(axis=1) + graph.item_vectors[item, -1]
        np.testing.assert_allclose(total, graph.score(histories)[np.arange(9), item], rtol=1e-4, atol=1e-4)

    def test_without_a_history_the_popular_come_first(self, graph):
        empty = {f"history_{name}": np.zeros((2, 4), np.float32) for name in ("ids", "completion", "age")}
        expected = np.tile(graph.item_vectors[1:, -1], (2, 1))
        np.testing.assert_array_equal(graph.score(empty)[:, 1:], expected)

    @pytest.mark.parametrize("network", ["lightgcn", "gcn"], indirect=True)
    def test_only_gat_has_attention(self, graph):
        with pytest.raises(EncoderError, match="has no attention; allowed: 'gat'"):
            graph.attention(make_observation(9, items=30))

    @pytest.mark.parametrize("network", ["gat"], indirect=True)
    def test_attention_sums_to_one(self, graph):
        histories = make_observation(9, items=30)
        heard = graph.attention(histories)
        real = histories["history_completion"] > 0
        np.testing.assert_allclose(heard.sum(axis=1), real.any(axis=1), rtol=1e-5)
        np.testing.assert_array_equal(heard > 0, real)
        assert np.ptp(heard[6]) > 1e-3

    @pytest.mark.parametrize("network", ["gat"], indirect=True)
    def test_attention_is_that_of_torch_geometric(self, network, graph, log):
        items, users = network.propagate()
        share = network.weight / torch.zeros(60).index_add(0, network.user, network.weight)[network.user]
        met = [torch.zeros(60, 6).index_add(0, network.user, share[:, None] * items[0][network.item]), *users]
        edges, total = torch.stack([network.item, network.user]), np.zeros((60, 31))
        for conv, source, target in zip(network.to_user, items, met[:-1], strict=True):
            _, (_, heard) = conv((source, target), edges, network.weight[:, None], return_attention_weights=True)
            np.add.at(total, (network.user, network.item), heard.detach().mean(dim=1).numpy() / 3)
        histories = everything(log)
        found = np.zeros_like(total)
        np.add.at(found, (np.arange(60)[:, None], histories["history_ids"].astype(int)), graph.attention(histories))
        np.testing.assert_allclose(found, total, atol=1e-5)


class TestGraph:
    def test_nearest_items_are_mostly_of_the_same_crowd(self, log):
        graph = Graph(make_items(), GraphOptions(**QUICK)).fit(log, seed=0)
        near, cosine = graph.nearest_items(7, 5)
        assert 7 not in near
        assert (near % 2 == 1).mean() >= 0.8
        assert (np.diff(cosine) <= 0).all()
        unit = normalise_rows(graph.item_vectors[:, :-1])
        np.testing.assert_allclose(cosine, unit[near] @ unit[7], rtol=1e-5)
        with pytest.raises(EncoderError, match="item 31 is unknown; items are 1 to 30"):
            graph.nearest_items(31)

    @pytest.mark.parametrize("layer", LAYERS)
    def test_a_log_smaller_than_a_batch_is_learnt_from(self, layer):
        """Learned vectors alone, so that no text says whose crowd an item is of."""
        log = make_log(users=200, items=200)
        assert 2600 < len(build_log_matrix(log, "completion").data) < GraphOptions().batch_size
        graph = Graph(make_items(200), GraphOptions(layer=layer, features="ids")).fit(log, seed=0)
        best = np.argsort(-graph.score(everything(log)), axis=1)[:, :10]
        own = best % 2 != np.arange(200)[:, None] % 2
        assert own.mean() >= 0.9

    def test_the_smallest_log_is_learnt_from(self, log):
        one = log.take(np.flatnonzero(log.consumed)[:1])
        assert np.isfinite(Graph(make_items(), GraphOptions(**QUICK)).fit(one).item_vectors).all()

    @pytest.mark.parametrize("layer", LAYERS)
    @pytest.mark.parametrize(("features", "known"), [("ids", False), ("text", True)])
    def test_an_item_without_edges_is_its_text_or_nothing(self, log, layer, features, known):
        options = GraphOptions(layer=layer, features=features, **QUICK)
        graph = Graph(make_items(), options).fit(log.take(log.item != 4))
        assert np.isfinite(graph.item_vectors).all()
        assert (np.abs(graph.item_vectors[4, :-1]).max() > 0) == known
        assert graph.item_vectors[4, -1] == 0.0

    def test_a_graph_without_edges_is_refused(self, log):
        nothing = replace(log, completion=np.zeros(len(log)))
        with pytest.raises(EncoderError, match="no row with a completion above 0"):
            Graph(make_items()).fit(nothing)

    def test_it_goes_on_where_it_was_interrupted(self, log, tmp_path):
        options = GraphOptions(negatives=10, **QUICK)

        def stop(row):
            if row["step"] == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Graph(make_items(), options).fit(log, folder=tmp_path, report=stop)
        steps = []
        resumed = Graph(make_items(), options).fit(log, folder=tmp_path, report=lambda row: steps.append(row["step"]))
        assert min(steps) > 1
        np.testing.assert_array_equal(resumed.item_vectors, Graph(make_items(), options).fit(log).item_vectors)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"layer": "sage"}, "layer = 'sage' is unknown.*; allowed: 'lightgcn', 'gcn', 'gat'"),
            ({"layer": "gat", "size": 9}, "size = 9 is no multiple of heads = 2"),
            ({"epochs": 0}, "epochs = 0 is out of range; allowed: 1 to 100000"),
        ],
    )
    def test_options_are_checked(self, change, message):
        with pytest.raises(ValueError, match=message):
            GraphOptions(**change)
