"""All agents and rules in all scenarios."""
