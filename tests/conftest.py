"""Every test runs with one thread and with the shapes in the type hints checked."""

import random

# The runtime type checker looks at one random item of each container. It takes the function that
# draws it from `random` when it is imported; a generator of its own keeps it from moving Python's
# random state, which tests watch.
shared, random.getrandbits = random.getrandbits, random.Random(0).getrandbits
import beartype  # noqa: E402

random.getrandbits = shared

import torch  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

assert beartype
hook = install_import_hook("gpex_bench", "beartype.beartype")
torch.set_num_threads(1)

LONGEST = (
    "test_every_study",
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
