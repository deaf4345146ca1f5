"""Every test runs with one thread and with the shapes in the type hints checked."""

import torch
from jaxtyping import install_import_hook

hook = install_import_hook("gpex_bench", "beartype.beartype")
torch.set_num_threads(1)

LONGEST = (
    "test_workflow",
    "test_study_workflow",
    "test_study",
    "test_trained",
    "test_gpex",
    "test_matching",
)


def pytest_collection_modifyitems(items):
    """Put the modules that take longest first, so that two processes end at about the same time."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.module.__name__.rpartition(".")[2], len(order)))
