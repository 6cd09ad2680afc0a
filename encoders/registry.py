"""Encoders by name, and from the folder that one was saved in.

A file of ``histories`` or ``networks`` ends with a call of ``ENCODERS.register`` for each of its names. What an encoder
is about, the name of its class, whether it is fitted on a log, and what must be installed are literal words of that
call: they are known from ``ENCODERS.cards`` without importing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..envs.shared.options import make_options
from ..envs.shared.registry import Registry
from .base import Encoder, EncoderError, Items, read_header


@dataclass(frozen=True)
class EncoderEntry:
    """What a name stands for.

    Parameters
    ----------
    kind : type of Encoder
        The class.
    preset : mapping of str to Any
        Options that differ from the defaults of the class.
    """

    kind: type[Encoder]
    preset: Mapping[str, Any] = field(default_factory=dict)

    def make(self, items: Items, **changes: Any) -> Encoder:
        """Make an encoder that is not yet fitted.

        Parameters
        ----------
        items : Items
            What it encodes.
        **changes
            Options that differ from those of the name.

        Raises
        ------
        ValueError
            If there is no such option, or a value is not allowed.
        """
        options = make_options(self.kind.__name__, self.kind.options_type, {**self.preset, **changes})
        return self.kind(items, options)


ENCODERS: Registry[EncoderEntry] = Registry(
    "ENCODERS", "encoder", "longplay.encoders.histories", "longplay.encoders.networks"
)


def list_ready_encoders() -> tuple[str, ...]:
    """Names of the encoders that learn nothing from a log: they can be used as soon as they are made."""
    return tuple(name for name in ENCODERS if not ENCODERS.card(name).words.get("needs_fit", True))


def load_encoder(folder: str | Path, items: Items) -> Encoder:
    """Load the encoder saved in a folder, whatever its class.

    Raises
    ------
    EncoderError
        If the folder holds none, or the items are not those it was fitted on.
    """
    saved = str(read_header(folder)["encoder"])
    names = {str(ENCODERS.card(name).words.get("encoder")): name for name in ENCODERS}
    if saved not in names:
        raise EncoderError(f"{folder}: its encoder is {saved!r}; known are {', '.join(map(repr, sorted(names)))}")
    return ENCODERS[names[saved]].kind.load(folder, items)
