"""Datasets that are files: where they are looked for, how they are split."""
