"""Contestants on the same test users and luck, and what the results say."""
