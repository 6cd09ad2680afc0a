"""SlateQ: values of slates from values of their items."""
