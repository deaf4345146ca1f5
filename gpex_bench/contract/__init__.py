"""The promises of plug-ins, and what holds them to it."""
