"""How well a surrogate agrees with its network."""
