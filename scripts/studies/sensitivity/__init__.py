"""What the constants of a scenario change."""
