"""Predictors of what users do next: clicks, minutes, retention, return times."""
