"""Pre-training of BERT by masked-language modelling: on from a checkpoint, or from nothing, on a catalogue's texts.

Both write a folder that `TextEncoder` loads. Loss and perplexity on texts held out, the same tokens masked before and
after, say how much better the model knows the texts' language, and nothing about whether its vectors tell texts apart.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch.utils.data import Dataset
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
)

from ...envs.shared.files import filling
from ...envs.shared.options import Options, number
from ...envs.shared.progress import ProgressCallback, ignore_progress
from ..base import EncoderError
from ..text.bert import hide_progress_bar
from ..text.encoder import describe_unknown, print_line
from ..text.model_folder import LOCAL, ModelFolder
from .fitting import Schedule, silence_transformers, train_network
from .tower_network import find_nearest

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_FEWEST = 20  # texts; with fewer, nothing can be held out that says anything


@dataclass(frozen=True)
class PretrainOptions(Options):
    """Options of masked-language modelling."""

    epochs: int = number(3, 1, 100_000)
    """Passes over the texts."""
    batch_size: int = number(32, 1, 100_000)
    """Texts in a step."""
    learning_rate: float = number(5e-5, 1e-8, 1.0)
    """Learning rate at its highest; from nothing, some 1e-3 is right."""
    tokens: int = number(128, 8, 100_000)
    """Tokens that are read of a text."""
    masked: float = number(0.15, 0.01, 0.9)
    """Share of the tokens that are to be guessed."""
    held_out: float = number(0.05, 0.01, 0.5)
    """Share of the texts that only measure."""


@dataclass(frozen=True)
class ScratchOptions(PretrainOptions):
    """Options of a small BERT from nothing."""

    epochs: int = number(10, 1, 100_000)
    """Passes over the texts."""
    learning_rate: float = number(1e-3, 1e-8, 1.0)
    """Learning rate at its highest."""
    vocabulary: int = number(8000, 100, 10**6)
    """Word pieces, special ones included; fewer where the texts have fewer, more where they have more characters."""
    layers: int = number(4, 1, 48)
    """Layers of the Transformer."""
    width: int = number(128, 8, 4096)
    """Width of the hidden states and of the vectors."""
    heads: int = number(4, 1, 64)
    """Heads of the attention; they share the width evenly."""

    def __post_init__(self) -> None:
        """Refuse what could not be built."""
        super().__post_init__()
        if self.width % self.heads:
            raise EncoderError(f"width = {self.width} cannot be shared by heads = {self.heads}; give a multiple")


@dataclass(frozen=True)
class PretrainingResult:
    """What pre-training did.

    Attributes
    ----------
    loss_before, loss_after : float
        Mean cross-entropy of masked tokens of held-out texts [nats].
    texts, held_out : int
        Texts learnt from, and held out.
    """

    loss_before: float
    loss_after: float
    texts: int
    held_out: int

    @property
    def perplexity_before(self) -> float:
        """Perplexity before."""
        return math.exp(self.loss_before)

    @property
    def perplexity_after(self) -> float:
        """Perplexity after."""
        return math.exp(self.loss_after)


def continue_pretraining(
    base: str | Path,
    texts: Sequence[str],
    folder: Path,
    options: PretrainOptions | None = None,
    *,
    seed: int = 0,
    report: ProgressCallback = ignore_progress,
) -> PretrainingResult:
    """Train a BERT further on texts; pooling and normalisation stay those of `base`.

    Parameters
    ----------
    base : str or Path
        A BERT by alias, folder or hub name. Where it has no head for guessing words, as sentence encoders have none, a
        fresh one is trained with it, its decoder tied to the word vectors.
    texts : sequence of str
        Texts of the catalogue; each counts once.
    folder : Path
        The model is written to ``folder/model``. Checkpoints lie in ``folder/training`` until it is done: called again
        after an interruption with the same arguments, it goes on from the last epoch.
    seed : int
        Seed of the texts held out, the masks and the fresh head.

    Returns
    -------
    PretrainingResult
        Masked loss on held-out texts, before and after.

    Raises
    ------
    EncoderError, ModelError
        If there are too few texts, or the model cannot be used.

    Notes
    -----
    The loss before is that of the fresh head where there is one: worse than chance, it says nothing about the base. And
    a sentence encoder is moved away from what it was trained for: vectors gather by the words that stand in the texts.
    ``python scripts/pretrain.py --name films --catalog items.parquet`` on 1,000 films (three passes from minilm)
    brought perplexity on 50 held-out texts from 51,900 to 118, and the share of the ten nearest films with a genre in
    common from 54.0 to 70.7 %: these texts name their genres, and were learnt from. How well paraphrases are told from
    other texts was not measured; judge a model by the recommendations made with it
    (``scripts/studies/encoders/study.py``).
    """
    options = options or PretrainOptions()
    source = ModelFolder.find(base)
    if options.tokens > source.longest:
        raise EncoderError(f"tokens = {options.tokens}; {str(base)!r} reads {source.longest} at most")
    train, held_out = _hold_out(texts, options.held_out, seed)
    with hide_progress_bar(), silence_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)  # of the fresh head
        tokenizer = AutoTokenizer.from_pretrained(source.path, **LOCAL)
        network = AutoModelForMaskedLM.from_pretrained(source.path, **LOCAL, use_safetensors=True)
    if source.lower_case:
        train, held_out = ([text.lower() for text in share] for share in (train, held_out))
    _warn_of_unknown(tokenizer, [*train, *held_out], options.tokens)
    about = {"base": source.content_hash()}
    result = _train_and_measure(network, tokenizer, train, held_out, options, seed, folder, about, report)
    _write_model(network, tokenizer, source, folder)
    return result


def pretrain_from_scratch(
    texts: Sequence[str],
    folder: Path,
    options: ScratchOptions | None = None,
    *,
    seed: int = 0,
    report: ProgressCallback = ignore_progress,
) -> PretrainingResult:
    """Train a small BERT and its word pieces on texts alone; arguments and result are those of `continue_pretraining`.

    For a catalogue in a language that no model at hand reads. Its vectors, the mean over the tokens, tell which words
    stand in like places; a few thousand texts do not make a sentence encoder.
    """
    options = options or ScratchOptions()
    train, held_out = _hold_out(texts, options.held_out, seed)
    tokenizer = train_tokenizer(train, options.vocabulary, options.tokens)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        intermediate_size=4 * options.width,
        max_position_embeddings=options.tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = BertForMaskedLM(config)
    result = _train_and_measure(network, tokenizer, train, held_out, options, seed, folder, {"base": None}, report)
    _write_model(network, tokenizer, None, folder)
    return result


def train_tokenizer(texts: Sequence[str], vocabulary: int, tokens: int) -> PreTrainedTokenizerFast:
    """Word pieces of texts: Unicode normalised, lower case, accents kept, unlike BERT's own, for other languages.

    All characters of the texts are pieces, so that there are at least as many pieces, whatever `vocabulary` is. Scripts
    without spaces are parted before they are learnt from, or a whole clause becomes one piece: each Chinese character
    stands alone, as BERT has it, and so does each hiragana, and each letter with its marks in Thai, Lao, Tibetan,
    Myanmar and Khmer; katakana, whose runs are mostly words, and Hangul, which has spaces, are learnt as words.
    """
    chinese = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), chinese])
    unspaced = pre_tokenizers.Split(
        Regex(r"[\p{Hiragana}\p{Thai}\p{Lao}\p{Tibetan}\p{Myanmar}\p{Khmer}]\p{M}*"), behavior="isolated"
    )
    splitter = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), unspaced])
    words = [word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]
    # The trainer numbers inner characters in the random order of a hash table, and breaks ties by these numbers: told
    # of them beforehand, as if they were special, it gives the same pieces each time.
    inner = sorted({f"##{character}" for word in words for character in word[1:]})
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.pre_tokenizer = splitter
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=[*_SPECIAL, *inner],
        limit_alphabet=max(1000, len(inner) + 1000),
        show_progress=False,
    )
    pieces.train_from_iterator(words, trainer)
    vocabulary_ids = pieces.get_vocab()
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary_ids, unk_token="[UNK]")
    )  # in which the inner characters are not special
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(n, vocabulary_ids[n]) for n in _SPECIAL[2:4]],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=tokens, **names
    )


def _hold_out(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Texts to learn from, and those held out."""
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(distinct) < _FEWEST:
        raise EncoderError(f"there are {len(distinct)} different texts; masked-language modelling needs {_FEWEST}")
    order = np.random.default_rng(seed).permutation(len(distinct))
    count = max(1, round(share * len(distinct)))
    return [distinct[i] for i in np.sort(order[count:])], [distinct[i] for i in np.sort(order[:count])]


def measure_neighbour_agreement(vectors: NDArray[np.float32], labels: Sequence[Sequence[str]], k: int = 10) -> float:
    """Share of the k nearest texts of each that have a label in common with it; texts without labels are left out.

    Parameters
    ----------
    vectors : (n, E) float32
        Unit vectors of the texts.
    labels : n sequences of str
        Topics or genres.
    """
    labelled = [row for row, names in enumerate(labels) if names]
    if len(labelled) <= k:
        raise EncoderError(f"{len(labelled)} texts have labels; the {k} nearest need more than {k}")
    neighbours = find_nearest(vectors[labelled], k) - 1
    sets = [set(labels[row]) for row in labelled]
    return float(np.mean([bool(sets[row] & sets[other]) for row, others in enumerate(neighbours) for other in others]))


class _Texts(Dataset[Any]):
    """Tokens of texts."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], tokens: int) -> None:
        self._ids = tokenizer(list(texts), truncation=True, max_length=tokens)["input_ids"]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self._ids[index]}


def _train_and_measure(
    network: torch.nn.Module,
    tokenizer: Any,
    train: list[str],
    held_out: list[str],
    options: PretrainOptions,
    seed: int,
    folder: Path,
    about: dict[str, Any],
    report: ProgressCallback,
) -> PretrainingResult:
    """Guess masked tokens of the texts; the loss on those held out, before and after."""
    collate = DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=options.masked)
    measured = _Texts(tokenizer, held_out, options.tokens)
    before = _measure_held_out_loss(network, measured, collate, seed)
    with hide_progress_bar():
        train_network(
            network,
            _Texts(tokenizer, train, options.tokens),
            Schedule(options.epochs, options.batch_size, options.learning_rate, weight_decay=0.01),
            seed=seed,
            collate=collate,
            folder=folder / "training",
            about={**about, "settings": asdict(options), "texts": _hash_texts(train)},
            report=report,
        )
    after = _measure_held_out_loss(network, measured, collate, seed)
    return PretrainingResult(before, after, len(train), len(held_out))


@torch.no_grad()
def _measure_held_out_loss(network: torch.nn.Module, texts: _Texts, collate: Any, seed: int) -> float:
    """Mean cross-entropy [nats] of masked tokens; the seed fixes which."""
    network.eval()
    total, count = 0.0, 0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(texts), 32):
            batch = collate([texts[row] for row in range(start, min(start + 32, len(texts)))])
            masked = int((batch["labels"] != -100).sum())
            if masked:
                total += masked * float(network(**batch).loss)
                count += masked
    if not count:
        raise EncoderError("no token of the texts held out was masked; give more texts, or a larger held_out")
    return total / count


def _warn_of_unknown(tokenizer: Any, texts: list[str], tokens: int) -> None:
    """Say in one line where a tokenizer knows too little of the texts to learn from them."""
    rows = tokenizer(texts, truncation=True, max_length=tokens, add_special_tokens=False)["input_ids"]
    unknown = sum(row.count(tokenizer.unk_token_id) for row in rows)
    if line := describe_unknown(sum(map(len, rows)), unknown, "a model from nothing (--from-scratch)"):
        print_line(line)


def _hash_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def _write_model(network: Any, tokenizer: Any, source: ModelFolder | None, folder: Path) -> None:
    """Write the encoder without the head, the tokenizer, and how vectors are pooled; the whole or nothing."""
    with filling(folder / "model.tmp") as temporary:
        with hide_progress_bar(), torch.random.fork_rng():
            torch.manual_seed(0)  # of the pooler, which nothing uses and every loader of a BERT asks for
            encoder = AutoModel.from_config(network.config)  # type: ignore[no-untyped-call]
            encoder.load_state_dict(network.base_model.state_dict(), strict=False)
            encoder.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if source is not None:
            _copy_pooling_files(source.path, temporary)
    shutil.rmtree(folder / "model", ignore_errors=True)
    temporary.replace(folder / "model")
    shutil.rmtree(folder / "training", ignore_errors=True)


def _copy_pooling_files(source: Path, target: Path) -> None:
    """Copy what says how vectors are made; a folder without it means the same by having none."""
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    for config in source.glob("*/config.json"):
        (target / config.parent.name).mkdir()
        shutil.copyfile(config, target / config.parent.name / "config.json")
