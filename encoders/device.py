"""Where networks compute: one choice for a process and its children, the CPU unless another is asked for."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..envs.shared.names import one_of
from ..envs.shared.notices import say_once

VARIABLE = "LONGPLAY_DEVICE"  # of the process's environment, so that its children compute where it does
DEVICES = ("auto", "cpu", "cuda")


def find_device() -> str:
    """The device that ``$LONGPLAY_DEVICE`` names, which ``--device`` of the commands sets: "cpu" or "cuda".

    By default it is the CPU, whose results are the published ones; ``auto`` is the first CUDA device, where there is
    one. From one device to another vectors and weights differ in their last bits, so what was learnt from the vectors
    of one is not taken together with those of another.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    word = one_of("device", os.environ.get(VARIABLE) or "cpu", DEVICES)
    if word == "cpu":
        return word
    import torch  # not for who only asks for the CPU

    if torch.cuda.is_available():
        return "cuda"
    if word == "cuda":
        built = f"this build of torch ({torch.__version__}) finds no CUDA device"
        raise ValueError(f"device = 'cuda': {built}; fix: --device cpu or auto, or a build of torch with CUDA")
    return "cpu"


def make_tensors_on(device: str) -> AbstractContextManager[Any]:
    """A context in which tensors made anew, such as zeros, are made on a device; on the CPU nothing changes."""
    import torch

    return nullcontext() if device == "cpu" else torch.device(device)


def say_where_it_learns(what: str) -> None:
    """Say once that something learns on the CPU, where its slates are chosen, although another device was asked for."""
    if find_device() != "cpu":
        say_once(f"{what} learns on the CPU, where its slates are chosen; --device moves the text encoder alone here")
