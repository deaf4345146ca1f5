"""Layer-wise relevance propagation: the rules of layers, and which layer gets which rule."""
