"""Datasets that are painted: shapes, and scenes of them."""
