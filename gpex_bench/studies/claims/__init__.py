"""What papers say of their methods, tested on networks that were trained with several seeds."""
