"""How GPEX is fitted: the kernel map, its objective and its training."""
