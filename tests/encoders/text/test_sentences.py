"""Profiles as sentences."""

import pytest

from longplay.encoders.text.sentences import NO_PROFILE, ProfileWords, profile_to_text


class TestProfile:
    @pytest.mark.parametrize(
        ("likes", "dislikes", "text"),
        [
            (["Drama", "War"], [], "Likes drama and war."),
            (["drama"], [], "Likes drama."),
            (["Drama", "Spies", "War"], ["Horror"], "Likes drama, spies and war. Dislikes horror."),
            ([], ["Horror", "Sport"], "Dislikes horror and sport."),
            (["TV", "Sci-Fi"], [], "Likes TV and sci-fi."),
            (["war", "Drama", "War"], [], "Likes war and drama."),
            (["  Film \n noir "], [], "Likes film noir."),
            ([], [], NO_PROFILE),
        ],
    )
    def test_reads_as_english(self, likes, dislikes, text):
        assert profile_to_text(likes, dislikes) == text

    def test_a_name_that_ends_with_a_stop_gives_one_stop(self):
        assert profile_to_text(["Drama", "King Jr."]) == "Likes drama and king jr."

    @pytest.mark.parametrize(
        ("likes", "dislikes", "said"),
        [
            (["Drama", " "], [], "likes: the name ' ' is blank. Fix: leave it out"),
            ([], [""], "dislikes: the name '' is blank"),
            (["Drama"], ["war", "drama"], "dislikes: 'drama' is among the likes, too"),
            ("Drama", [], r"likes = 'Drama' is one text. Fix: give a list of names, such as \['Drama'\]"),
        ],
    )
    def test_refusals_name_field_and_fix(self, likes, dislikes, said):
        with pytest.raises(ValueError, match=said):
            profile_to_text(likes, dislikes)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"language": "zh"}, "喜欢剧情、谍战和战争。不喜欢恐怖。"),
        ({"language": "zh", "kind": "film"}, "喜欢电影：剧情、谍战和战争。不喜欢电影：恐怖。"),
        ({"kind": "post"}, "Likes posts about 剧情, 谍战 and 战争. Dislikes posts about 恐怖."),
        ({"words": ProfileWords("+{names}", "-{names}", "/", "/", "")}, "+剧情/谍战/战争-恐怖"),
    ],
)
def test_other_languages_kinds_and_words(options, told):
    assert profile_to_text(["剧情", "谍战", "战争"], ["恐怖"], **options) == told


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"language = 'fr' is unknown.*; allowed: 'en', 'zh'"):
        profile_to_text(["x"], language="fr")
