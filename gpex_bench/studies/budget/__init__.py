"""How many evaluations of a network each explainer needs, and how stable it is."""
