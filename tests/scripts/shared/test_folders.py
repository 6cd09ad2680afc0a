"""Names of runs are checked before anything happens under them."""

import pytest

from longplay.scripts import train
from longplay.scripts.shared.folders import LONGEST_NAME, check_free, check_free_files, run_folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["ppo-0", "demo/control/ppo_0.5", "A" * LONGEST_NAME])
def test_plain_names_are_folders_below_runs(here, name):
    assert run_folder(name).resolve() == here / "runs" / name


@pytest.mark.parametrize(
    ("name", "odd", "instead"),
    [
        ("my run", "' '", "my-run"),
        ("Läufe/eins", "'ä'", "Laufe/eins"),
        ("café: two", "' ', ':', 'é'", "cafe-two"),
        ("a\\b", r"'\\\\'", "a-b"),
    ],
)
def test_spaces_accents_and_signs_are_refused_with_a_name_that_would_do(name, odd, instead):
    with pytest.raises(ValueError, match=rf"has {odd}; allowed: letters .*; give, for instance, '{instead}'$"):
        run_folder(name)
    assert run_folder(instead).name


def test_a_name_without_any_such_letter_has_no_proposal():
    with pytest.raises(ValueError, match=r"name = '电影' has '影', '电'; allowed: .* between folders$"):
        run_folder("电影")


def test_a_name_too_long_is_refused():
    with pytest.raises(ValueError, match=rf"has {LONGEST_NAME + 1} characters; allowed: at most {LONGEST_NAME}"):
        run_folder("a" * (LONGEST_NAME + 1))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/etc"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(ValueError, match="must be a folder name below runs/"):
        run_folder(name)


def test_a_run_of_an_older_version_can_still_be_named(here):
    folder = here / "runs" / "mein Lauf"
    folder.mkdir(parents=True)
    assert run_folder("mein Lauf").resolve() == folder


def test_nothing_is_trained_under_a_name_that_is_refused(here, call):
    code, output = call(train, "--name", "mein Lauf", "--track", "off", folder=here)
    assert code == 2
    assert "name = 'mein Lauf' has ' '" in output
    assert not (here / "runs").exists()


def test_a_folder_that_holds_something_is_not_written_to(here):
    folder = here / "runs" / "x"
    check_free(folder, "encoder.json", overwrite=False)  # which is not there
    folder.mkdir(parents=True)
    (folder / "training").mkdir()
    (folder / ".hidden").touch()
    check_free(folder, "encoder.json", overwrite=False, unfinished=("train*",))
    with pytest.raises(ValueError, match="x holds training, which is not of this command; give another --name"):
        check_free(folder, "encoder.json", overwrite=True)
    (folder / "encoder.json").touch()
    check_free(folder, "encoder.json", overwrite=True)
    with pytest.raises(ValueError, match="x exists; give --overwrite to replace it, or another --name"):
        check_free(folder, "encoder.json", overwrite=False, unfinished=("train*",))


def test_files_that_are_there_are_not_replaced_unasked(here):
    files = [here / "a.png", here / "a.json"]
    check_free_files(files, overwrite=False)
    files[1].touch()
    check_free_files(files, overwrite=True)
    with pytest.raises(ValueError, match=r"a\.json exists; give --overwrite"):
        check_free_files(files, overwrite=False)
