"""A text model is data: code that lies beside the weights does not run, not even if somebody says yes."""

import builtins
import json
import shutil

import pytest

from longplay.encoders.text.bert import Bert
from longplay.encoders.text.model_folder import ALIASES, ModelFolder

PLANTED = """
from pathlib import Path
Path(__file__).with_name("proof").touch()
Path({proof!r}).touch()
from transformers import PretrainedConfig

class Config(PretrainedConfig):
    model_type = "planted"
"""


@pytest.mark.parametrize("model_type", ["planted", "bert"])
def test_code_beside_the_weights_does_not_run(tmp_path, monkeypatch, model_type):
    folder, proof = tmp_path / "model", tmp_path / "proof"
    folder.mkdir()
    for file in ALIASES["minilm"].iterdir():
        if file.is_file():
            shutil.copy(file, folder / file.name)
    config = json.loads((folder / "config.json").read_text())
    planted = {"AutoConfig": "planted.Config", "AutoModel": "planted.Model", "AutoTokenizer": ["planted.Config", None]}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type, "auto_map": planted}))
    (folder / "planted.py").write_text(PLANTED.format(proof=str(proof)))
    monkeypatch.setattr(builtins, "input", lambda *words: "y")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    found = ModelFolder(folder, 384, "mean", True, 128, 512, False)
    if model_type == "bert":
        Bert(found, dtype="float32", device="cpu", max_tokens=16, batch_size=4)
    else:
        with pytest.raises(ValueError, match="trust_remote_code"):
            Bert(found, dtype="float32", device="cpu", max_tokens=16, batch_size=4)
    assert not proof.exists()
