"""Texts to vectors with BERT, and what is told to it."""
