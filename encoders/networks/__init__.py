"""Encoders that train a network: sequences, graphs, two towers, BERT itself."""
