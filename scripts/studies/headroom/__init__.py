"""How much a whole month leaves to gain beyond the best slate now."""
