"""An actor that points at an item, and critics that choose from the nearest."""
