"""Rules: policies that follow a formula, and the search for their options."""
