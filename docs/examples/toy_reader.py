"""A reader of one's own, without a network: takes the text that has most words in common with what was read before.

    python -m longplay.scripts.studies.agreement --reader toy_reader:WordsInCommon --users 20

or as the user of any environment: ``gymnasium.make("longplay/Video-v1", behaviours=answer_by(WordsInCommon()))``. Both
find this file where its folder is on PYTHONPATH.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass

from longplay.envs import Question


@dataclass
class WordsInCommon:
    """The more of a text's words stood in what was watched lately, the better; nothing where too few did."""

    least: float = 6.5  # weight of a text's words below which nothing is taken; so 30 users of Video-v1 take as much

    def answer(self, question: Question) -> int | None:
        """A slot, or None."""
        known: Counter[str] = Counter()
        for place, item in enumerate(question.history):
            known.update(dict.fromkeys(self.split(item.text), item.completion * 0.8**place))
        texts = {slot: self.split(question.texts[slot]) for slot in question.slots}
        rates = {slot: sum(known[word] for word in words) / math.sqrt(len(words)) for slot, words in texts.items()}
        best = max(rates, key=rates.__getitem__, default=None)
        return best if best is not None and rates[best] >= self.least else None

    @staticmethod
    def split(text: str) -> set[str]:
        """The words of a text, each once."""
        return set(re.findall(r"\w{3,}", text.lower())) or {text}
