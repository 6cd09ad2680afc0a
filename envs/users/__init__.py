"""Who users are and what happens to them: constants, people, chance, and the step of a user's life."""
