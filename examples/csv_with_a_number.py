"""A table with categories, and a number to predict: from a CSV file to explanations."""

# %% The file: rents of flats, made up. Larger and newer is dearer, and districts differ.
import numpy as np
import pandas as pd
import torch
from torch import nn

import gpex_bench as gb

draw = np.random.default_rng(0)
n = 600
flats = pd.DataFrame(
    {
        "size": draw.uniform(20, 120, n).round(),
        "year": draw.integers(1900, 2025, n),
        "floor": draw.integers(0, 8, n),
        "district": draw.choice(["north", "south", "centre"], n),
    }
)
dearer = flats["district"].map({"north": 0, "south": 100, "centre": 400})
flats["rent"] = 9 * flats["size"] + 2 * (flats["year"] - 1900) + dearer + draw.normal(0, 40, n)
flats.to_csv("flats.csv", index=False)

# %% Read: columns are scaled, the three dummies of a district are one feature.
data = gb.dataset(
    "csv", file="flats.csv", target="rent", kind="number", unit="EUR", categorical=["district"]
)

# %% A network, in the units of the rent.
torch.manual_seed(0)
mean, spread = data.train.y.mean(), data.train.y.std()


class Rent(nn.Module):
    """A perceptron whose output is the rent in EUR."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(len(data.features), 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rent."""
        return mean + spread * self.layers(x)


module = Rent()
optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
for _ in range(200):
    loss = ((module(data.train.x)[:, 0] - data.train.y) / spread).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% Why are these flats as dear as they are? In EUR, compared with the baseline.
network = gb.wrap(module, data=data)
maps = gb.explain(network, data.test, "shapley_sampling", data=data, progress=False)
relevance = pd.DataFrame(maps.numpy(), columns=data.features)
of_features = relevance.T.groupby(lambda name: name.split("=")[0], sort=False).sum().T

with torch.no_grad():
    of_features["baseline"] = float(module(data.baseline[None]))
    of_features["rent"] = module(data.test.x)[:, 0].numpy()
print(of_features.head(4).round().astype(int).to_string(index=False))

# %% How good are these explanations? Scored on the rent itself: it has no probability.
maps = {"shapley": maps}
for name in ("gradient_x_input", "random_map"):
    maps[name] = gb.explain(network, data.test, name, data=data, progress=False)
scores = gb.score(
    network, data.test, maps, gb.metric("srg", output="logit"), data=data, progress=False
)
print(gb.summary(scores).round(3).to_string(index=False))
