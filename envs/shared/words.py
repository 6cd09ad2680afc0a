"""What counts as a word of a text, whatever its script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Scripts in which white space does not part words, or in which a word is more than letters and digits:
# Han with bopomofo; kana, full and half width; Hangul, whole and in parts; Thai, Lao, Tibetan, Myanmar and Khmer;
# and those of India, whose vowels are marks that no letter class holds.
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3105-\u312f\u31a0-\u31bf"
_HAN += "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA = "\u3041-\u309f"
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"
_CLUSTERED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_INDIC = "\u0900-\u0dff\ua8e0-\ua8ff"

_OTHER = re.compile(f"[{_HAN}{_HIRAGANA}{_KATAKANA}{_HANGUL}{_CLUSTERED}{_INDIC}]")
_SPACED = re.compile(r"(?u)\b\w+\b")
_RUN = re.compile(
    f"(?P<unspaced>[{_HAN}]+|[{_HIRAGANA}]+|[{_KATAKANA}]+)|(?P<hangul>[{_HANGUL}]+)|(?P<clustered>[{_CLUSTERED}]+)"
    f"|(?:[{_INDIC}\u200c\u200d]|[^\\W{_HAN}{_HIRAGANA}{_KATAKANA}{_HANGUL}{_CLUSTERED}])+"
)


def is_unspaced(text: str) -> bool:
    """Whether a text holds a script that white space alone does not part into words.

    >>> is_unspaced("Amélie, Война и мир"), is_unspaced("天使爱美丽"), is_unspaced("हिन्दी")
    (False, True, True)
    """
    return _OTHER.search(text) is not None


def is_chinese(text: str) -> bool:
    """Whether a text holds Chinese characters and no kana.

    >>> is_chinese("恐怖 film"), is_chinese("ホラー映画"), is_chinese("film")
    (True, False, False)
    """
    return bool(re.search(f"[{_HAN}]", text)) and not re.search(f"[{_HIRAGANA}{_KATAKANA}]", text)


def split_words(text: str) -> list[str]:
    """The words of a text in small letters, in their order, for counting; none where it has no letter or digit.

    Words of letters and digits stand between what is neither. Beside them:

    - Han and kana, which are written without spaces: each two characters that follow each other, within a run of one
      script, since a change between Han, hiragana and katakana is mostly the end of a word; one character alone is a
      word.
    - Hangul, which parts words but joins particles to them: the word, and of more than two syllables each two that
      follow each other, by which 영화를 and 영화는 share 영화.
    - Thai, Lao, Tibetan, Myanmar and Khmer, also without spaces: each two characters with their marks.
    - Scripts of India: words with their vowel signs.

    A text in which such a script stands is read in Unicode's normal form NFKC.

    >>> split_words("Alien (1979), a film.")
    ['alien', '1979', 'a', 'film']
    >>> split_words("《异形》是恐怖片。")
    ['异形', '是恐', '恐怖', '怖片']
    >>> split_words("영화를 본다")
    ['영화를', '영화', '화를', '본다']
    """
    text = text.lower()
    return list(_split_runs(unicodedata.normalize("NFKC", text))) if is_unspaced(text) else _SPACED.findall(text)


def keep_words(text: str, count: int) -> str:
    """The beginning of a text on one line: some words, each of at most two letters where no white space parts words.

    >>> keep_words("Alien (1979), a film.", 2), keep_words("《异形》是恐怖片", 2)
    ('Alien (1979),', '《异形》')
    """
    words = text.split()[:count]
    return " ".join(words) if not is_unspaced(text) else " ".join(words)[: 2 * count]


def _split_runs(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        word = run[0]
        if run["unspaced"]:
            yield from _pair(word)
        elif run["hangul"]:
            yield word
            if len(word) > 2:
                yield from _pair(word)
        elif run["clustered"]:
            yield from _pair(_cluster(word))
        elif any(map(str.isalnum, word)):
            yield word


def _pair(parts: str | list[str]) -> Iterator[str]:
    """Each two that follow each other, or the only one."""
    return ("".join(parts[i : i + 2]) for i in range(max(1, len(parts) - 1))) if parts else iter(())


def _cluster(word: str) -> list[str]:
    """Characters with the marks that belong to them; signs that are neither letter, mark nor digit are left out."""
    clusters: list[str] = []
    for character in word:
        kind = unicodedata.category(character)[0]
        if kind == "M" and clusters:
            clusters[-1] += character
        elif kind in "LMN":
            clusters.append(character)
    return clusters
