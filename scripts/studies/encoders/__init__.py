"""Encoders compared on a log."""
