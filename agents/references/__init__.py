"""Policies that read hidden state: oracles and planners, to show what is left to gain."""
