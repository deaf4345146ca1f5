"""How plug-ins are found, and what they say of themselves."""
