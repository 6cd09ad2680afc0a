"""An encoder from the command line: a log of one's own, measured, saved, and taken by a training as its state."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from longplay.scripts import encode, train
from longplay.tests.encoders.small import make_items, make_log
from longplay.tests.encoders.text.tiny_bert import tiny_bert


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A log and its items as an owner has them."""
    monkeypatch.setenv("LONGPLAY_CACHE", str(tmp_path / "cache"))
    log, items = make_log(users=80), make_items()
    rows = {name: getattr(log, name) for name in ("time", "completion", "consumed")}
    owners = {"user": [log.user_ids[u] for u in log.user], "item": [log.item_ids[i - 1] for i in log.item]}
    pd.DataFrame(owners | rows).to_csv(tmp_path / "log.csv", index=False)
    pd.DataFrame({"id": log.item_ids, "text": items.texts}).to_csv(tmp_path / "items.csv", index=False)
    return tmp_path


def test_an_own_log_is_learnt_measured_and_taken_as_a_state(call, tables):
    given = (
        "--name",
        "mine",
        "--encoder",
        "als",
        "--settings",
        "width=8",
        "--log",
        "log.csv",
        "--catalog",
        "items.csv",
    )
    code, output = call(encode, *given)
    assert code == 0, output
    assert "known users and items" in output
    folder = tables / "runs" / "mine"
    measures = json.loads((folder / "measures.json").read_text())
    assert measures["known users and items"]["auc"] > 0.7
    vectors = load_file(folder / "vectors.safetensors")
    assert vectors["items"].shape == (31, 8)
    assert vectors["users"].shape == (80, 8)
    np.testing.assert_array_equal(vectors["items"][0], 0.0)
    quick = ("--steps", "1024", "--num-envs", "64", "--eval-users", "5", "--evals", "1", "--track", "off")
    code, output = call(train, "--name", "ppo", "--state", "runs/mine", "--catalog", "items.csv", *quick)
    assert code == 0, output
    assert "PPO weights γ=0.95 mine" in output


def test_the_text_model_named_reads_items_and_histories_and_is_asked_for_again(call, tables):
    bert, own = str(tiny_bert()[0]), ("--log", "log.csv", "--catalog", "items.csv")
    quick = ("--settings", "epochs=1", "tuning_epochs=1", "tokens=24", "width=8")
    for name, settings in (("tower", quick), ("text", ())):
        code, output = call(encode, "--name", name, "--encoder", name, "--bert", bert, *own, *settings)
        assert code == 0, output
        content = json.loads((tables / "runs" / name / "encoder.json").read_text())
        assert content["settings"]["model"] == content["text_model"]["name"] == bert
        code, output = call(train, "--name", "x", "--state", f"runs/{name}", "--catalog", "items.csv", "--track", "off")
        assert code == 2
        assert f"text model {bert!r}, here the items' are of 'minilm'. Fix: give --bert {bert}" in output
    code, output = call(encode, "--name", "mixed", "--encoder", "text", *own, "--settings", f"model={bert}")
    assert code == 2
    assert f"read by the text model {bert!r}, the items' vectors are of 'minilm'" in output


def test_columns_of_other_names_are_named(call, tables):
    names = {"user": "who", "item": "sku", "time": "when"}
    pd.read_csv(tables / "log.csv").rename(columns=names).to_csv(tables / "log.csv", index=False)
    goods = {"id": "sku", "text": "words"}
    pd.read_csv(tables / "items.csv").rename(columns=goods).to_csv(tables / "items.csv", index=False)
    given = ["--name", "mine", "--encoder", "mean", "--log", "log.csv", "--catalog", "items.csv"]
    for flag, name in (("id-column", "sku"), ("text-column", "words"), *names.items()):
        code, output = call(encode, *given)
        argument = flag.replace("-", "_")
        assert code == 2
        assert "no column" in output
        assert f"{argument}=" in output or f"as {argument} " in output
        assert f"(--{flag}" in output  # the fix can be made here
        given += [f"--{flag}", name]
    code, output = call(encode, *given)
    assert code == 0, output
    assert "80 users, 30 items" in output


def test_encoders_and_their_settings_are_described(call):
    code, output = call(encode, "--list")
    assert code == 0
    for word in ("lightgcn", "half_life_items=10.0", "kappa=2.0", "neighbours=500"):
        assert word in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--encoder gruu --log log.csv", "encoder = 'gruu' is unknown (did you mean 'gru'?)"),
        (
            "--log nowhere",
            "log = 'nowhere': no such table, and runs/nowhere has no log.parquet; run scripts/c",
        ),
        ("--log log.csv", "log = 'log.csv' is a table; give --catalog"),
        ("--log log.csv --catalog items.csv --encoder als --settings width", "settings: 'width' is not name=value"),
        (
            "--log log.csv --catalog items.csv --encoder als --settings widht=8",
            "'widht' is unknown (did you mean 'width'?)",
        ),
        ("--log log.csv --catalog items.csv --encoder als --settings width=0", "width = 0 is out of range; allowed: 1"),
        ("--name ../out", "name = '../out' must be a folder name below runs/"),
    ],
)
def test_a_wrong_argument_is_named(call, tables, arguments, said):
    code, output = call(encode, *arguments.split())
    assert code == 2
    assert said in output
    assert "Traceback" not in output


def test_a_state_that_is_no_encoder_is_refused(call, tables):
    code, output = call(train, "--name", "x", "--state", "runs/none", "--catalog", "items.csv")
    assert code == 2
    assert "state = 'runs/none' is unknown" in output


def test_what_is_there_is_not_overwritten_unasked_and_flags_of_a_table_need_one(call, tables):
    given = ("--encoder", "mean", "--log", "log.csv", "--catalog", "items.csv")
    assert call(encode, "--name", "mine", *given)[0] == 0
    before = (tables / "runs" / "mine" / "encoder.json").read_bytes()
    code, output = call(encode, "--name", "mine", *given, "--seed", "1")
    assert code == 2
    assert "runs/mine exists; give --overwrite to replace it, or another --name" in output
    assert (tables / "runs" / "mine" / "encoder.json").read_bytes() == before
    assert call(encode, "--name", "mine", *given, "--overwrite")[0] == 0
    (tables / "runs" / "ppo").mkdir()
    (tables / "runs" / "ppo" / "config.json").touch()
    code, output = call(encode, "--name", "ppo", *given, "--overwrite")
    assert code == 2
    assert "runs/ppo holds config.json, which is not of this command; give another --name" in output
    code, output = call(encode, "--name", "other", "--log", "mine", "--rating", "stars", "--best-rating", "5")
    assert code == 2
    assert "rating = 'stars' is for a table of interactions, and log = 'mine' is none: leave it out" in output
