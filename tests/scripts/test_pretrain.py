"""Pre-training from the command line: what is written, resumed and refused."""

import json
import re

import numpy as np
import pytest

from longplay.encoders import TextEncoder
from longplay.scripts import pretrain
from longplay.tests.encoders.text.tiny_bert import TEXTS, tiny_bert
from longplay.tests.scripts.conftest import furnish

SMALL = ("--from-scratch", "--scratch.epochs", "3", "--scratch.layers", "1", "--scratch.width", "16")
SMALL += ("--scratch.heads", "2", "--scratch.tokens", "32", "--scratch.batch-size", "16")


@pytest.fixture
def folder(tmp_path):
    furnish(tmp_path)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n\n", encoding="utf-8")
    return tmp_path


class TestPretrain:
    def test_from_scratch_on_a_catalogue_writes_a_model(self, call, folder):
        code, output = call(pretrain, "--name", "shop", "--catalog", "items.csv", *SMALL, folder=folder)
        assert code == 0, output
        run = folder / "runs" / "shop"
        assert {path.name for path in run.iterdir()} == {"study.json", "pretraining.json", "model"}
        known = json.loads((run / "pretraining.json").read_text())
        assert "runs/shop: 80 texts, from nothing" in output
        before, after = (np.exp(known[name]) for name in ("loss_before", "loss_after"))
        assert f"perplexity {before:,.1f} → {after:,.1f}" in output
        neighbours = (
            r"of the 10 nearest of 80 items, share with a topic in common: \d+\.\d% → \d+\.\d% \(before: minilm\)"
        )
        assert re.search(neighbours, output)
        assert after < before
        assert TextEncoder(run / "model", cache=None).encode(["a text"]).shape == (1, 16)

    def test_further_on_a_file_of_texts(self, call, folder):
        arguments = ("--name", "b", "--bert", tiny_bert()[0], "--texts", "texts.txt", "--further.epochs", "1")
        code, output = call(pretrain, *arguments, "--further.tokens", "64", folder=folder)
        assert code == 0, output
        assert "200 texts" in output
        assert "share with a topic" not in output
        assert (folder / "runs" / "b" / "model" / "model.safetensors").exists()

    def test_further_on_a_catalogue_says_what_became_of_neighbours(self, call, folder):
        arguments = ("--name", "b", "--bert", tiny_bert()[0], "--catalog", "items.csv", "--further.epochs", "1")
        code, output = call(pretrain, *arguments, "--further.tokens", "64", folder=folder)
        assert code == 0, output
        assert re.search(r"of the 10 nearest of 80 items, share with a topic in common: \d+\.\d% → \d+\.\d%", output)

    def test_called_again_it_says_that_it_is_done(self, call, folder):
        first = call(pretrain, "--name", "s", "--texts", "texts.txt", *SMALL, folder=folder)[1]
        model = (folder / "runs" / "s" / "model" / "model.safetensors").stat()
        code, output = call(pretrain, "--name", "s", "--texts", "texts.txt", *SMALL, folder=folder)
        assert code == 0
        assert "runs/s is done" in output
        assert first[first.index("masked words") :] == output[output.index("masked words") :]
        assert (folder / "runs" / "s" / "model" / "model.safetensors").stat() == model

    def test_interrupted_it_goes_on(self, call, folder, monkeypatch):
        real, seen = pretrain.pretrain_from_scratch, []

        def watched(texts, place, settings, *, seed, report):
            def stop(row):
                seen.append(row["step"])
                if len(seen) == 20:  # in the second epoch of 12 steps
                    raise KeyboardInterrupt
                report(row)

            return real(texts, place, settings, seed=seed, report=stop)

        monkeypatch.setattr(pretrain, "pretrain_from_scratch", watched)
        code, output = call(pretrain, "--name", "i", "--texts", "texts.txt", *SMALL, folder=folder)
        assert (code, "interrupted" in output) == (130, True)
        assert not (folder / "runs" / "i" / "model").exists()
        code, output = call(pretrain, "--name", "i", "--texts", "texts.txt", *SMALL, folder=folder)
        assert code == 0, output
        assert seen[20] == 13

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            (("--from-scratch", "--bert", "minilm"), "bert = 'minilm' and from_scratch exclude each other"),
            (("--texts", "texts.txt", "--catalog", "items.csv"), "exclude each other"),
            (("--texts", "nowhere.txt"), "texts = 'nowhere.txt': there is no such file"),
            (("--texts", "latin.txt"), "texts = 'latin.txt' is not UTF-8"),
            (("--bert", "minilmm"), "did you mean 'minilm'"),
            (("--threads", "0"), "threads = 0 must be at least 1"),
        ],
    )
    def test_refuses_what_could_not_run(self, call, folder, options, match):
        (folder / "latin.txt").write_bytes("é".encode("latin-1"))
        code, output = call(pretrain, "--name", "r", *options, folder=folder)
        assert code == 2
        assert match in output

    def test_a_table_that_is_not_there_spends_no_name(self, call, folder):
        code, output = call(pretrain, "--name", "spent", "--catalog", "none.csv", folder=folder)
        assert code == 2
        assert "none.csv" in output
        code, output = call(pretrain, "--name", "spent", "--texts", "texts.txt", *SMALL, folder=folder)
        assert code == 0, output

    def test_another_study_under_the_same_name_is_refused(self, call, folder):
        call(pretrain, "--name", "s", "--texts", "texts.txt", *SMALL, folder=folder)
        code, output = call(pretrain, "--name", "s", "--texts", "texts.txt", *SMALL, "--seed", "3", folder=folder)
        assert code == 2
        assert "was begun with seed = 0, not 3; give another --name" in output
