"""Tables and explanations → figures."""
