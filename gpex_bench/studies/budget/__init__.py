"""Faithfulness, stability and convergence of explainers against what they cost: from cells to tables and sentences."""
