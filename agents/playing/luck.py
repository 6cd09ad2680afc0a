"""TODO: agents/playing/luck.py."""

SPREAD = 1 << 20  # between the lucks of two training seeds: more than there are slots


def training_luck(seed: int) -> int:
    """Luck of the first slot for a training seed: no two seeds meet the same lives in another slot."""
    return seed * SPREAD


BEHIND = SPREAD // 2  # luck of the first round of trials, behind that of the players


VALIDATION_LUCK = 1_000_003  # the luck of the validation users, the same in every run


TEST_LUCK = 2_000_003
