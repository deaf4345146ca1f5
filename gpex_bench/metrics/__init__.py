"""Metrics, one file each: a number per explained sample, its direction, range and chance level."""
