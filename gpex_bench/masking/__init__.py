"""Masks over inputs: regions, fills, the order of removal, and the network's answers."""
