"""Networks made of a given one: with random weights, or so that an axiom can be tested."""
