"""Lives of users under a policy: evaluation, trials, training users, and the luck of each."""
