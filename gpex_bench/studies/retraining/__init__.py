"""Networks trained again without what an explainer points at, and on permuted labels."""
