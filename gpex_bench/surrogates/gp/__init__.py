"""The algebra of Gaussian processes in weight space."""
