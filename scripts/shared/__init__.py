"""What scripts share: command lines, tables, worker processes, tracking."""
