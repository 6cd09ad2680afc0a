"""What is known of a user, beside what they did, as a text."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...envs.shared.names import one_of

NO_PROFILE = "No profile yet."


@dataclass(frozen=True)
class ProfileWords:
    """How a profile is told.

    Parameters
    ----------
    likes, dislikes : str
        A sentence each with ``{names}``.
    between, before_last : str
        What stands between two names, and before the last of them.
    between_sentences : str
        What stands between the two sentences.
    nothing : str
        What is said where nothing is named.
    """

    likes: str = "Likes {names}."
    dislikes: str = "Dislikes {names}."
    between: str = ", "
    before_last: str = " and "
    between_sentences: str = " "
    nothing: str = NO_PROFILE


_WORDS = {
    "en": {
        "any": ProfileWords(),
        **{
            kind: ProfileWords(f"Likes {noun} about {{names}}.", f"Dislikes {noun} about {{names}}.")
            for kind, noun in (("article", "articles"), ("post", "posts"))
        },
        "film": ProfileWords("Likes films: {names}.", "Dislikes films: {names}."),
        "product": ProfileWords("Shops for {names}.", "Does not shop for {names}."),
    },
    "zh": {
        kind: ProfileWords(f"喜欢{noun}{{names}}。", f"不喜欢{noun}{{names}}。", "、", "和", "", "还没有资料。")
        for kind, noun in (
            ("any", ""),
            ("film", "电影："),
            ("product", "商品："),
            ("article", "文章："),
            ("post", "帖子："),
        )
    },
}


def profile_to_text(
    likes: Sequence[str],
    dislikes: Sequence[str] = (),
    *,
    language: str = "en",
    kind: str = "any",
    words: ProfileWords | None = None,
) -> str:
    """Tell what a user named as liked, and as disliked.

    Parameters
    ----------
    likes, dislikes : sequence of str
        Names of topics, genres or things, in the order told. A name in small and capital letters is told in small ones
        ("Drama" as "drama"), one in capitals alone as it is ("TV"); of a name given twice the first counts.
    language : {"en", "zh"}
        Language that is told in; the names stay as they are.
    kind : {"any", "film", "product", "article", "post"}
        What the names are topics of.
    words : ProfileWords, optional
        Words of one's own, in place of those of `language` and `kind`.

    Returns
    -------
    str
        Such as ``"Likes drama, spies and war. Dislikes horror."``; `NO_PROFILE`, or what `words` say, where nothing is
        named.

    Raises
    ------
    ValueError
        If a name is blank, or both liked and disliked, or language or kind is unknown.
    """
    kinds = _WORDS[one_of("language", language, _WORDS)]
    words = words or kinds[one_of("kind", kind, kinds)]
    liked, disliked = _tidy_names("likes", likes), _tidy_names("dislikes", dislikes)
    for name in liked:
        if name in disliked:
            raise ValueError(f"dislikes: {name!r} is among the likes, too. Fix: leave it out of one of the two")
    sentences = ((words.likes, liked), (words.dislikes, disliked))
    told = [sentence.format(names=_join_names(names, words)) for sentence, names in sentences if names]
    return words.between_sentences.join(told) or words.nothing


def _tidy_names(field: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(f"{field} = {names!r} is one text. Fix: give a list of names, such as [{names!r}]")
    tidy = [" ".join(name.split()).rstrip(".") for name in names]
    for name, tidied in zip(names, tidy, strict=True):
        if not tidied:
            raise ValueError(f"{field}: the name {name!r} is blank. Fix: leave it out")
    return list(dict.fromkeys(name if name.isupper() else name.lower() for name in tidy))


def _join_names(names: list[str], words: ProfileWords) -> str:
    return words.before_last.join(filter(None, [words.between.join(names[:-1]), names[-1]]))
