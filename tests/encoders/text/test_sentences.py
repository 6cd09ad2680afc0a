"""Profiles as sentences."""

import pytest

from longplay.encoders.text.sentences import NO_PROFILE, profile_to_text


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
