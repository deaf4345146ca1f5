"""My network and my data: arrays of numpy in, a benchmark with tables and a report out."""

# %% My data: two arrays, and a split that I made.
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

import gpex_bench as gb

wine = load_wine()
x_train, x_test, y_train, y_test = train_test_split(
    wine.data, wine.target, test_size=60, stratify=wine.target, random_state=0
)
centre, spread = x_train.mean(0), x_train.std(0)
data = gb.arrays(
    (x_train - centre) / spread,
    y_train,
    (x_test - centre) / spread,
    y_test,
    name="wine",
    classes=wine.target_names,
    features=wine.feature_names,
)

# %% My network, trained as I always do.
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 3))
optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
for _ in range(60):
    loss = nn.functional.cross_entropy(module(data.train.x), data.train.y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% Which explainer should I use for it? A random map is the control that all have to pass.
network = gb.wrap(module, data=data)
methods = ["gradient_x_input", "integrated_gradients", "kernel_shap", "lrp", "random_map"]
run = gb.evaluate(
    network, data, methods, metrics=["srg", "infidelity"], folder="wine", progress=False
)
print(run)
print(run.ranking.to_string(index=False))
