"""Logs of interactions from simulated users: collecting, exploring, propensities, Minari data sets."""
