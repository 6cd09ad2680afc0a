"""What is known of a user, beside what they did, as an English text."""

from collections.abc import Sequence

NO_PROFILE = "No profile yet."


def profile_to_text(likes: Sequence[str], dislikes: Sequence[str] = ()) -> str:
    """Tell what a user named as liked, and as disliked.

    Parameters
    ----------
    likes, dislikes : sequence of str
        Names of topics, genres or things, in the order told. A name in small and capital letters is told in small ones
        ("Drama" as "drama"), one in capitals alone as it is ("TV"); of a name given twice the first counts.

    Returns
    -------
    str
        Such as ``"Likes drama, spies and war. Dislikes horror."``; `NO_PROFILE` where nothing is named.

    Raises
    ------
    ValueError
        If a name is blank, or both liked and disliked.
    """
    clauses = {"Likes": _tidy_names("likes", likes), "Dislikes": _tidy_names("dislikes", dislikes)}
    for name in clauses["Likes"]:
        if name in clauses["Dislikes"]:
            raise ValueError(f"dislikes: {name!r} is among the likes, too. Fix: leave it out of one of the two")
    return " ".join(f"{verb} {_join_names(names)}." for verb, names in clauses.items() if names) or NO_PROFILE


def _tidy_names(field: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(f"{field} = {names!r} is one text. Fix: give a list of names, such as [{names!r}]")
    tidy = [" ".join(name.split()).rstrip(".") for name in names]
    for name, tidied in zip(names, tidy, strict=True):
        if not tidied:
            raise ValueError(f"{field}: the name {name!r} is blank. Fix: leave it out")
    return list(dict.fromkeys(name if name.isupper() else name.lower() for name in tidy))


def _join_names(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
