"""Where networks compute: the choice, its refusal, and that all tensors of a batch follow the network.

No GPU is asked for: tensors on ``meta`` have a device of their own and no content, and whatever mixes them with one of
the CPU is an error.
"""

import numpy as np
import pytest
import torch

from longplay.agents.slates.networks import SlateNetwork
from longplay.agents.slates.plackett_luce import evaluate, take_best
from longplay.encoders.device import VARIABLE, find_device, make_tensors_on, say_where_it_learns
from longplay.encoders.networks import fitting
from longplay.encoders.networks.sequence import Sequence, SequenceOptions
from longplay.encoders.text.encoder import TextEncoder
from longplay.envs.shared import notices
from longplay.tests.encoders.small import make_items, make_log

CELLS = ("gru", "lstm", "transformer", "attention")


@pytest.mark.parametrize(("word", "there", "device"), [("", True, "cpu"), ("cpu", True, "cpu"), ("auto", True, "cuda")])
def test_the_device_is_the_one_asked_for(monkeypatch, word, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setenv(VARIABLE, word)
    assert find_device() == device


def test_cuda_is_taken_where_it_is_and_refused_where_it_is_not(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device = 'cuda': .* finds no CUDA device; fix: --device cpu"):
        find_device()
    monkeypatch.setenv(VARIABLE, "auto")
    assert find_device() == "cpu"
    monkeypatch.setenv(VARIABLE, "gpu")
    with pytest.raises(ValueError, match=r"device = 'gpu' is unknown.*; allowed: 'auto', 'cpu', 'cuda'"):
        find_device()


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_histories_follows_the_network(cell):
    encoder = Sequence(make_items(), SequenceOptions(cell=cell, size=16, epochs=1, batch_size=8)).fit(make_log(12))
    network = encoder.network.requires_grad_(True).to("meta")
    names = ("history_ids", "history_completion", "history_age")
    histories = make_log(12).histories(np.arange(4), 100.0)
    batch = [torch.from_numpy(np.asarray(histories[name])).to("meta") for name in names]
    assert network.forward_history(*batch).device.type == "meta"
    with pytest.raises(RuntimeError):
        network.forward_history(*(torch.zeros(part.shape) for part in batch))


def test_a_batch_of_slates_follows_the_network():
    network = SlateNetwork(5, 3, np.ones((21, 8), np.float32)).to("meta")
    arrays = torch.zeros(4, 5), torch.zeros(4, 20, 3), torch.ones(4, 20, dtype=torch.int64)
    scores, values = network(*(array.to("meta") for array in arrays))
    slates = take_best(scores[0], 3)
    parts = [scores, values, slates, *evaluate(scores[0], slates)]
    assert {part.device.type for part in parts} == {"meta"}
    with pytest.raises(RuntimeError):
        network(*arrays)


class Counting(torch.nn.Module):
    """Makes a tensor of its own at each step, and notes where."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.ones(1)), []

    def forward(self, x):
        self.seen.append(torch.zeros(1).device.type)
        return {"loss": (self.weight * x).square().mean()}


def test_what_a_network_makes_anew_is_made_where_it_is():
    with make_tensors_on("meta"):
        assert torch.zeros(2).device.type == "meta"
    with make_tensors_on("cpu"):
        assert torch.zeros(2).device.type == "cpu"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_training_is_told_the_device(monkeypatch, device):
    told, make = [], fitting._make_arguments

    def watched(*given):
        told.append(given[-1])
        return make(*given[:-1], "cpu")  # there is no other here

    monkeypatch.setattr(fitting, "_make_arguments", watched)
    monkeypatch.setattr(fitting, "find_device", lambda: device)
    network, rows = Counting(), [{"x": torch.tensor(float(i))} for i in range(8)]
    fitting.train_network(network, rows, fitting.Schedule(epochs=1, batch_size=4, learning_rate=0.1), seed=0)
    assert told == [device]
    assert set(network.seen) == {"cpu"}


def test_vectors_of_one_device_are_not_taken_for_those_of_another():
    assert TextEncoder(device="cpu").identity == TextEncoder().identity != TextEncoder(device="cuda").identity


def test_what_learns_on_the_cpu_all_the_same_says_so_once(monkeypatch, capsys):
    monkeypatch.setattr(notices, "_SAID", set())
    monkeypatch.setenv(VARIABLE, "cpu")
    say_where_it_learns("offline learning")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(VARIABLE, "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for _ in range(2):
        say_where_it_learns("offline learning")
    assert capsys.readouterr().err.count("offline learning learns on the CPU, where its slates are chosen") == 1
