"""The environments by id, each class its own specification."""
