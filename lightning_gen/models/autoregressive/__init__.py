"""Autoregressive models: a product of conditional distributions, hence an exact likelihood."""
