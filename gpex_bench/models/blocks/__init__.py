"""Networks that several architectures are built of."""
