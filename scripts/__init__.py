"""Command-line scripts, one task a file."""
