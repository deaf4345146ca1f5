"""The error of a network that cannot be wrapped."""


class CannotWrap(ValueError):
    """A network, its inputs or a setting does not fit; the message says what to do."""
