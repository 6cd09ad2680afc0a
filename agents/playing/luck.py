"""The luck of everybody who plays: training users, validation users, test users, trials and logs.

A life is a function of its user and its luck (`longplay.envs.users.chance`), so that policies that are compared on the
same users share these numbers, and what is learned from never meets the luck that it is judged by.
"""

VALIDATION_LUCK = 1_000_003  # of the validation users, the same in every run
TEST_LUCK = 2_000_003  # of the test users of a comparison
LUCK_SPREAD = 1 << 20  # between the lucks of two training seeds: more than there are slots
RULE_LOG_LUCK = 3_000_001  # of the log that the rules' encoders are fitted on; each further life one more
REFERENCE_LUCK = 3_000_003  # of the users that the search of a reference plays
TRUTH_LUCK = 3_000_017  # of the users who show what an off-policy estimate should have been
TRIAL_LUCK = LUCK_SPREAD // 2  # of the first round of trials, behind that of the training users


def training_luck(seed: int) -> int:
    """Luck of the first slot for a training seed: no two seeds meet the same lives in another slot."""
    return seed * LUCK_SPREAD
