"""Registries: things by name, each from a file that registers it, found without importing any of the others.

A file of one of the registry's packages ends with calls such as

    RULES.register("mmr", Rule(title="MMR", about="maximal marginal relevance", build=...))

At the first look-up the registry reads the sources of its packages for calls of its own ``register``: the name and all
literal keywords, those of calls within it included, are known from then on, and a file is imported when one of its
names is asked for. So to add something is to add a file; who lists what there is imports nothing; and what needs an
extra that is not installed (``needs="torch_geometric"``) is listed as such.
"""

import ast
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from .extras import explain_installation
from .names import unknown_name

T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """What is known of an entry before its file is imported.

    Attributes
    ----------
    name
        Name in the registry.
    module
        Module that registers it.
    words
        Literal keywords of the registering call, such as ``title`` and ``about``.
    """

    name: str
    module: str
    words: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """The module it ``needs`` that is not installed, or ``""``."""
        needs = str(self.words.get("needs", ""))
        return needs if needs and importlib.util.find_spec(needs) is None else ""


class Registry(Mapping[str, T]):
    """Entries by name.

    Besides those of its packages, there are those that other distributions announce in an entry-point group, and
    those of any module on the path, as ``"module:Class"`` or ``"module:name"``: the module is imported, and what it
    registers of that class or by that name is the entry.

    Parameters
    ----------
    variable
        Name of the variable that holds the registry, by which sources are read.
    noun
        Word for an entry in errors.
    packages
        Packages whose files register entries.
    group
        Entry-point group of other distributions.
    """

    def __init__(self, variable: str, noun: str, *packages: str, group: str = "") -> None:
        self.variable, self.noun, self.packages, self.group = variable, noun, packages, group
        self._entries: dict[str, T] = {}
        self._registered: dict[str, Card] = {}

    def register(self, name: str, entry: T, **words: Any) -> T:
        """Add an entry; called by the file that defines it, when that is imported.

        Parameters
        ----------
        name
            Name as on the command line; a literal, so that it is known before the import.
        entry
            Thing that the name stands for.
        words
            Literals that are to be known before the import.

        Raises
        ------
        ValueError
            If the name stands for something else, of another module or of the same.
        """
        scope = sys._getframe(1).f_globals
        module = scope["__name__"]
        card = self._registered.get(name) or self.cards.get(name)
        if card is not None and card.module != module and "announced" not in card.words:
            raise ValueError(f"{self.noun} {name!r} is registered by {card.module} already; take another name")
        if name in self._registered and self._is_repeated(name, scope.get("__file__")):
            raise ValueError(f"{self.noun} {name!r} is registered twice by {module}; rename one")
        self._entries[name] = entry
        self._registered[name] = Card(name, module, words)
        self._announce(self._registered[name], entry)
        return entry

    def _announce(self, card: Card, entry: T) -> None:
        """What else is to know of an entry that was registered."""

    def _is_repeated(self, name: str, file: str | None) -> bool:
        """Whether a file registers a name more than once; a module that is loaded again does not."""
        return file is not None and sum(card.name == name for card in self._read(Path(file), "")) > 1

    @cached_property
    def cards(self) -> dict[str, Card]:
        """All that is known of the entries of the packages and of the entry-point group, by name."""
        cards: dict[str, Card] = {}
        for package in self.packages:
            spec = importlib.util.find_spec(package)
            for folder in (spec.submodule_search_locations or ()) if spec else ():
                for path in sorted(Path(folder).rglob("*.py")):
                    parts = path.relative_to(folder).with_suffix("").parts
                    for card in self._read(path, ".".join((package, *parts))):
                        if card.name in cards:
                            modules = f"{cards[card.name].module} and {card.module}"
                            raise ValueError(f"{self.noun} {card.name!r} is registered by {modules}; rename one")
                        cards[card.name] = card
        if self.group:
            for point in importlib.metadata.entry_points(group=self.group):
                cards.setdefault(point.name, Card(point.name, point.module, {"announced": point.value}))
        return cards

    def _read(self, path: Path, module: str) -> Iterator[Card]:
        """Cards of the calls of ``register`` in a source; most files have none and are not parsed."""
        text, call = path.read_text(encoding="utf-8"), f"{self.variable}.register"
        at = text.find(f"\n{call}(")
        if at < 0:
            return
        for node in ast.parse(text[at:]).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == call:
                calls = [one for one in ast.walk(node.value) if isinstance(one, ast.Call)]
                words = {word.arg: word.value for one in reversed(calls) for word in one.keywords if word.arg}
                yield Card(ast.literal_eval(node.value.args[0]), module, dict(read_literals(words)))

    def card(self, name: str, field: str = "") -> Card:
        """What is known of an entry.

        Parameters
        ----------
        field
            Word for what was given, in the error; by default the registry's noun.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        if name in self.cards:
            return self.cards[name]
        if name in self._registered:
            return self._registered[name]
        if ":" in str(name):
            return Card(name, name.partition(":")[0])
        raise unknown_name(field or self.noun, name, self)

    def __getitem__(self, name: str) -> T:
        """The entry, its file imported.

        Raises
        ------
        ValueError
            If there is none of that name, or what it needs is not installed.
        """
        card = self.card(name)
        if name not in self._entries:
            if card.missing:
                raise ValueError(
                    f"{self.noun} {name!r} needs {card.missing}, which is not installed; fix: "
                    f"{explain_installation(card.missing)}"
                )
            self._import(card)
        return self._entries[name]

    def _import(self, card: Card) -> None:
        """Import the file of an entry, which registers it."""
        try:
            module = importlib.import_module(card.module)
        except ImportError as error:
            asked = error.name is not None and (card.module == error.name or card.module.startswith(f"{error.name}."))
            fix = (
                "install it, or put its folder on PYTHONPATH" if asked else "mend that import, or install what it wants"
            )
            raise ValueError(
                f"{self.noun} {card.name!r}: module {card.module} cannot be imported ({error}); fix: {fix}"
            ) from error
        except SyntaxError as error:
            place = f"{error.filename}, line {error.lineno}"
            raise ValueError(
                f"{self.noun} {card.name!r}: {place} is not Python ({error.msg}); mend it there"
            ) from error
        if card.name in self._entries:
            return
        kind = str(card.words.get("announced", card.name)).partition(":")[2]
        if kind in self._registered and self._registered[kind].module == card.module:
            self._entries[card.name] = self._entries[kind]
            return
        matches = [entry for entry in self._entries.values() if kind and named_by(entry, getattr(module, kind, None))]
        if not matches:
            raise ValueError(
                f"{self.noun} {card.name!r}: importing {card.module} registered no such {self.noun}; fix: end the file "
                f"with {self.variable}.register({(kind or card.name).lower()!r}, ...)"
            )
        self._entries[card.name] = matches[0]

    def __contains__(self, name: object) -> bool:
        return name in self.cards or name in self._registered

    def __iter__(self) -> Iterator[str]:
        yield from self.cards
        yield from (name for name in self._registered if name not in self.cards)

    def __len__(self) -> int:
        return len(set(self))

    def __repr__(self) -> str:
        """The names, and of what."""
        return f"<{self.noun}s: {', '.join(self)}>"


def read_literals(words: Mapping[str, ast.expr]) -> Iterator[tuple[str, Any]]:
    """The keywords whose values are literals, evaluated."""
    for key, value in words.items():
        try:
            yield key, ast.literal_eval(value)
        except ValueError:  # a name or a call, which is known when the file is imported
            continue


def named_by(entry: Any, kind: Any) -> bool:
    """Whether ``module:Class`` means an entry: it is the class, or of it (its attribute ``kind``)."""
    return kind is not None and (entry is kind or getattr(entry, "kind", None) is kind)
