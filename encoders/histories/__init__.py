"""Encoders without a deep network: pooled texts, neighbours, matrix factors, cold start."""
