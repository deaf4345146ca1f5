"""Every test runs with one thread and with the shapes in the type hints checked."""

import torch
from jaxtyping import install_import_hook

hook = install_import_hook("gpex_bench", "beartype.beartype")
torch.set_num_threads(1)
