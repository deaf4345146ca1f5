"""Explain one image: which pixels speak for the class that the network predicts?"""

# %% A network of one's own: plain PyTorch, trained for some seconds on 4,000 digits.
import torch
from torch import nn

import gpex_bench as gb

data = gb.dataset("mnist5k")


class Small(nn.Module):
    """Two convolutions; nothing of it is written for this package."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 5, stride=2)
        self.second = nn.Conv2d(16, 32, 3, stride=2)
        self.linear = nn.Linear(32 * 5 * 5, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x))
        return self.linear(x.flatten(1))


torch.manual_seed(1)
module = Small()
optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
for _ in range(3):
    for rows in torch.randperm(len(data.train.x)).split(50):
        loss = nn.functional.cross_entropy(module(data.train.x[rows]), data.train.y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

# %% What is found in it. Relu calls become modules, on a copy; the module stays as it is.
network = gb.wrap(module, data=data)
print(network)

with torch.no_grad():
    accuracy = (module(data.test.x).argmax(1) == data.test.y).float().mean()
print(f"test accuracy {accuracy:.0%}")

# %% The map of one image. It says what it cost, and what its numbers compare the image with.
image = data.test.x[0]
maps = gb.explain(network, image, "lrp", data=data)
print(maps)
maps.plot().savefig("one_image.png")
