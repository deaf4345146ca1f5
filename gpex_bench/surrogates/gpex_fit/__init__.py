"""How GPEX is fitted: the kernel map and what it is trained for."""
