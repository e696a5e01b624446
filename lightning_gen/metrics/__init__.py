"""Scores as pure functions of features, their accumulators, and the networks that compute features."""
