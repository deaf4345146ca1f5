"""GPEX on a network of one's own: how well it matches, what it names, and what that costs."""

# %% A network on a table of 569 rows.
import torch
from torch import nn

import gpex_bench as gb

data = gb.dataset("breast_cancer")
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))
optimiser = torch.optim.Adam(module.parameters(), lr=0.003)
for _ in range(100):
    loss = nn.functional.cross_entropy(module(data.train.x), data.train.y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% One Gaussian process for each output, conditioned on all training samples.
network = gb.wrap(module, data=data)
gpex = gb.fit(network, data, "gpex", n_steps=200, progress=False)
print(gpex)

# %% Does it match? On test samples, between and beyond them, and where no sample ever was.
print(gpex.agreement().round(3).to_string(index=False))

# %% Which training samples decide an output?
print(gpex.neighbours(data.test.x[:2], k=3))

# %% Is it worth it? The last layer as a Gaussian process is exact by construction, and cheap.
last = gb.fit(network, data, "last_layer", progress=False)
print(last)
print(last.agreement("mixed").round(3).to_string(index=False))
