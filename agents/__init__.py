"""Agents: rules, trained policies and references, and how they are compared."""
