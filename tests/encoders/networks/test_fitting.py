"""Training of networks: it learns, keeps its best epoch, goes on exactly, and leaves the global generators alone."""

import random

import numpy as np
import pytest
import torch

from longplay.encoders import EncoderError
from longplay.encoders.networks.fitting import Schedule, train_network

SCHEDULE = Schedule(epochs=12, batch_size=32, learning_rate=0.05, patience=3)


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 128

    def __getitem__(self, row):
        x = torch.from_numpy(np.random.default_rng(row).normal(size=4).astype(np.float32))
        return {"x": x, "y": 2.0 * x[:1]}


class Line(torch.nn.Module):
    """A linear map with dropout, so that training draws."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4))
        self.dropout = torch.nn.Dropout(0.1)

    def forward(self, x, y):
        return {"loss": ((self.dropout(x) @ self.weight)[:, None] - y).square().mean()}


def scripted(*scores):
    """Scores that are given out one an epoch, whatever the network."""
    left = list(scores)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def stopping(epochs):
    """A report that interrupts in the middle of an epoch; four steps make one."""

    def report(row):
        if row["step"] == 4 * epochs + 2:
            raise KeyboardInterrupt

    return report


def trained(score=None, schedule=SCHEDULE, **options):
    network = Line()
    curve = train_network(network, Rows(), schedule, seed=1, score=score, **options)
    return network, curve


def test_it_learns_and_reports():
    rows = []
    network, curve = trained(schedule=Schedule(epochs=12, batch_size=32, learning_rate=0.2), report=rows.append)
    assert network.weight[0].item() == pytest.approx(2.0, abs=0.3)
    assert not network.training
    assert curve[-1]["loss"] < 0.2 * curve[0]["loss"]
    assert [row["step"] for row in rows if "loss" not in row] == list(range(1, 49))
    assert {row["steps"] for row in rows} == {48.0}


def test_the_best_epoch_is_kept_and_patience_ends_it():
    seen = []
    network = Line()

    def score():
        seen.append(network.weight.detach().clone())
        return (0.1, 0.9, 0.5, 0.4, 0.3, 1.0)[len(seen) - 1]

    curve = train_network(network, Rows(), SCHEDULE, seed=1, score=score)
    assert [row["score"] for row in curve] == [0.1, 0.9, 0.5, 0.4, 0.3]
    torch.testing.assert_close(network.weight.detach(), seen[1], rtol=0, atol=0)


def test_global_generators_are_left_alone():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
    random.seed(5), np.random.seed(5), torch.manual_seed(5)  # noqa: NPY002
    trained()
    assert (random.random(), np.random.random(), torch.rand(1)) == expected  # noqa: NPY002


SCORES = (1.0, 0.9, 0.9, 0.9, 2.0, 2.1)  # patience ends it after four epochs, before the best


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_is_as_if_it_had_not_been(tmp_path, epochs):
    whole, curve = trained(scripted(*SCORES))
    with pytest.raises(KeyboardInterrupt):
        trained(scripted(*SCORES), folder=tmp_path, report=stopping(epochs))
    network, resumed = trained(scripted(*SCORES[epochs:]), folder=tmp_path)
    assert resumed == curve
    torch.testing.assert_close(network.weight, whole.weight, rtol=0, atol=0)


def test_a_finished_training_is_not_done_again(tmp_path):
    network, curve = trained(scripted(*SCORES), folder=tmp_path)
    steps = []
    again, same = trained(scripted(*SCORES), folder=tmp_path, report=steps.append)
    assert steps == []
    assert same == curve
    torch.testing.assert_close(again.weight, network.weight, rtol=0, atol=0)
    assert {path.name for path in tmp_path.iterdir()} == {"training.json", "final.safetensors"}


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path):
    whole, curve = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(folder=tmp_path, report=stopping(3))
    newest = max(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    (newest / "trainer_state.json").write_text('{"global_st')
    network, resumed = trained(folder=tmp_path)
    assert resumed == curve
    torch.testing.assert_close(network.weight, whole.weight, rtol=0, atol=0)


def test_checkpoints_of_something_else_are_not_used(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(folder=tmp_path, about={"log": "one"}, report=stopping(2))
    first = []
    trained(folder=tmp_path, about={"log": "two"}, report=first.append)
    assert first[0]["step"] == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="file cannot be written"):
        trained(folder=tmp_path / "file")
