"""Score maps of one's own: made with any code or library, kept as numpy arrays."""

# %% A network and ten digits that it has not seen.
import numpy as np
import torch
from torch import nn

import gpex_bench as gb

data = gb.dataset("mnist5k")
torch.manual_seed(1)
module = nn.Sequential(
    nn.Conv2d(1, 16, 5, stride=2),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(32 * 5 * 5, 10),
)
optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
for _ in range(2):
    for rows in torch.randperm(len(data.train.x)).split(50):
        loss = nn.functional.cross_entropy(module(data.train.x[rows]), data.train.y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

x = data.test.x[:24]

# %% My own maps: gradient times input, without this package. One map for each image.
inputs = x.clone().requires_grad_()
module(inputs).amax(1).sum().backward()
mine = (inputs.grad * inputs).detach().numpy()

# %% Scored beside a method of the suite and a control that knows nothing.
network = gb.wrap(module, x, classes=data.classes)
maps = {
    "mine": mine,
    "lrp": gb.explain(network, x, "lrp", progress=False),
    "random": np.random.default_rng(0).normal(size=x.shape),
}
scores = gb.score(
    network, x, maps, metrics=["srg", "infidelity", "max_sensitivity"], progress=False
)
print(gb.summary(scores).round(3).to_string(index=False))

# %% Is mine better than the others, on the same images? Tests are paired and corrected.
compared = gb.pairs(scores).query("metric == 'srg'")
columns = ["method", "other", "mean_difference", "p_holm", "verdict"]
print(compared[columns].to_string(index=False))
