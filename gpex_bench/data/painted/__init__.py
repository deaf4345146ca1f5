"""Datasets that are painted: shapes, and the scenes they stand in."""
