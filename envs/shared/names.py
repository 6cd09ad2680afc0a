"""Names from files and the command line."""

import difflib
from collections.abc import Iterable


def one_of(field: str, value: str, allowed: Iterable[str]) -> str:
    """The value, or an error with the closest allowed name.

    Raises
    ------
    ValueError
        If `value` is not among `allowed`.
    """
    names = list(allowed)
    if value in names:
        return value
    raise unknown_name(field, value, names)


def unknown_name(field: str, value: str, allowed: Iterable[str]) -> ValueError:
    """The error for a name that there is not: what was meant, perhaps, and all that there is."""
    names = list(allowed)
    close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return ValueError(f"{field} = {value!r} is unknown{hint}; allowed: {', '.join(map(repr, names))}")
