"""Linear bandits, which learn from the minutes of the slates they show."""
