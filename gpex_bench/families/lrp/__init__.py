"""Layer-wise relevance propagation, shared by the methods of the propagation family: `rules`, `network`."""
