"""Command-line scripts, one job a file."""
