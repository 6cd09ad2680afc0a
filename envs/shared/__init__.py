"""Ground for all folders: whole files, names with close matches, checked options, the registry, compiled loops."""
