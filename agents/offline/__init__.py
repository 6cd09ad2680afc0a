"""Learning from logs, and off-policy evaluation."""
