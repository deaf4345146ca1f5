"""How much of a score's variance each source of randomness makes."""
