"""Planners of worlds that are small enough to be solved exactly."""
