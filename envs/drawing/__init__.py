"""A user's life as a picture."""
