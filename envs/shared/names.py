"""Names from the command line."""

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
    close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"{field} = {value!r} is unknown{hint}; allowed: {', '.join(map(repr, names))}")
