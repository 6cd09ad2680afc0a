"""Agents in the interest-evolution environment of the SlateQ paper."""
