"""The study of text models over languages, small."""

import re
import shutil

import numpy as np
import pytest

from longplay.scripts.studies import languages
from longplay.tests.encoders.text.tiny_bert import tiny_bert
from longplay.tests.envs.catalogs.parallel import make_parallel, write_parallel

SCRATCH = ("--scratch.epochs", 1, "--scratch.layers", 1, "--scratch.width", 8, "--scratch.heads", 1)
BOTH = ("--catalogs", "english.csv", "chinese.csv")


def test_a_table_has_every_model_and_language(call, tmp_path):
    write_parallel(tmp_path, 40)
    shutil.copytree(tiny_bert()[0], tmp_path / "bert")
    for _ in range(2):  # the second time the models from nothing are there already
        code, output = call(languages, *BOTH, "--models", "bert", "scratch", *SCRATCH, folder=tmp_path)
        assert code == 0, output
        assert "english →" in output  # a narrow table breaks the rest into another line
        for name in ("bert", "scratch"):
            assert len(re.findall(rf"(?<!\S){name} +\d+%", output)) == 1, output
    assert (tmp_path / "runs" / "languages" / "chinese" / "model" / "config.json").exists()
    code, output = call(languages, *BOTH, "--models", "scratch", *SCRATCH[:-1], 2, folder=tmp_path)
    assert (code, "was begun with settings" in output) == (2, True)


def test_a_catalogue_without_topics_is_refused(call, tmp_path):
    (tmp_path / "bare.csv").write_text("id,text\n1,one\n2,two\n")
    code, output = call(languages, "--catalogs", "bare.csv", folder=tmp_path)
    assert (code, "catalogs: bare.csv has no topics" in output) == (2, True)


def test_across_languages_the_translation_itself_does_not_count():
    catalog = make_parallel(40)[0]
    same = np.eye(40, dtype=np.float32)
    share = languages.measure_across(same, same, catalog)
    genres = [labels[0] for labels in catalog.topics]
    # All others are equally far, and those of the lowest rows are taken.
    expected = [genres[row] == genres[other] for row in range(40) for other in [o for o in range(40) if o != row][:10]]
    assert share == pytest.approx(np.mean(expected))
