"""Frames: their columns, their order, and how they are written."""
