"""Networks: one architecture a file, found by file name; `fit` is the one training loop."""
