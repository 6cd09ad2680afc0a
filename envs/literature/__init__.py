"""Environments of other papers, each from its equations."""
