"""Simulated behaviour beside that of public logs."""
