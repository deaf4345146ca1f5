"""How well a surrogate stands in for a network."""
