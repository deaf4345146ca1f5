"""A Gaussian process, or another surrogate, that stands in for a network: fitted and asked."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from gpex_bench.contract.cost import counted
from gpex_bench.library import asking
from gpex_bench.library.bars import Shown, bar
from gpex_bench.library.choosing import name_of
from gpex_bench.library.choosing import surrogate as recipe_named
from gpex_bench.library.wrapping import Network, as_network
from gpex_bench.stages.agree import agree
from gpex_bench.surrogates.agreement.calibration import interval_factor, restored, with_factor
from gpex_bench.surrogates.agreement.compare import ALL
from gpex_bench.types import Dataset, Recipe, Split, Surrogate, value
from gpex_bench.types.demands import Refused

SPLITS = ("test", "mixed", "ood")
# what the short table of agreement has of each head; of all heads, their mean
SHOWN = (
    "r2",
    "rmse_sd",
    "coverage_50",
    "coverage_90",
    "coverage_95",
    "calibrated_coverage_90",
)


@value
class Fitted:
    """A surrogate that was fitted to a network.

    Attributes:
        name: of the kind of surrogate.
        recipe: how it was fitted, with its settings.
        surrogate: the surrogate itself, on the CPU: `posterior(x)` has means and variances.
        network: the network, on the CPU.
        data: what it was fitted on.
        seed: of the fit.
        seconds: that the fit took.
        forward_rows: rows that went through the network itself in the fit; copies of it that the
            fit trains are not counted.
    """

    name: str
    recipe: Recipe
    surrogate: Surrogate
    network: Network
    data: Dataset
    seed: int
    seconds: float
    forward_rows: int

    def agreement(self, split: str | Split | None = None, full: bool = False) -> pd.DataFrame:
        """Return how well the surrogate agrees with the network, for each output and all.

        On the test split; on mixtures of its samples (`mixed`); and on inputs of kinds that never
        occurred (`ood`). The numbers are those of the workflow.

        Args:
            split: one of these, or rows of one's own, which take the place of the test split; None:
                all three.
            full: every statistic, one row each, as the workflow writes them.

        Returns:
            R², the error in standard deviations of the output, and which share of the network's
            outputs lies in the 50, 90 and 95 % intervals of the surrogate, as it was fitted, and in
            its calibrated 90 % intervals, by which surrogates are compared. The row `all` has
            means.

        Raises:
            ValueError: there is no such split.
        """
        data, name = self.data, split
        if isinstance(split, Split):
            data, name = dataclasses.replace(self.data, test=split, truth=None), "test"
        if name not in (None, *SPLITS):
            raise ValueError(f"split must be one of {', '.join(SPLITS)} or a Split, got {split!r}.")

        table, _ = agree(self.network.model(), self.surrogate, data, self.seed)
        table = table if name is None else table[table["split"] == name].reset_index(drop=True)
        return table if full else _short(table)

    def neighbours(
        self, x: object, k: int = 5, *, target: object = None, by: str = "similarity"
    ) -> Any:
        """Return the training samples that explain outputs, strongest first.

        Args:
            x: inputs, as `explain` takes them.
            k: how many of each.
            target: which output, as `explain` takes it.
            by: `similarity` in the kernel space of the output, or `contribution` to its mean.
        """
        settings = {"k": k, "rank": by, "target": target}
        return self.explain(x, "gpex_neighbours", **settings)

    def explain(self, x: object, method: str = "gpex_attribution", **settings: Any) -> Any:
        """Return what `gpex_bench.explain` does with this surrogate and its network."""
        from gpex_bench.library.explaining import explain

        return explain(self.network, x, method, surrogate=self, **settings)

    @property
    def cost(self) -> str:
        """What the fit cost, in words."""
        n_train = len(self.data.train.x)
        return f"{self.seconds:.3g} s, {self.forward_rows:,} rows, {n_train:,} training samples"

    def of(self, network: Network | nn.Module) -> Network:
        """Return the network on the CPU; raises ValueError if it is another one."""
        module = network.module if isinstance(network, Network) else network
        if module is not self.network.module:
            raise ValueError(
                f"surrogate must be fitted to the network that is explained; this {self.name} was "
                "fitted to another one."
            )
        return self.network

    def lines(self) -> list[str]:
        """Return what is known of it, one line each."""
        network = type(self.network.module).__name__
        return [f"{self.name} fitted to {network} on {self.data.name}", f"cost: {self.cost}"]

    def __repr__(self) -> str:
        """Return the lines as text."""
        return "\n  ".join(self.lines())

    def _repr_html_(self) -> str:
        from gpex_bench.library.shown import lines_html

        return lines_html(self.lines())


def fit(
    network: Network | nn.Module,
    data: Dataset,
    surrogate: str | Recipe = "gpex",
    *,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Fitted:
    """Fit a surrogate to a network, on the training samples alone.

    Args:
        network: what `wrap` returns, or any module, which is then wrapped.
        data: training samples that the surrogate holds responsible for outputs, and test samples
            that it is compared on: `arrays(...)`, `dataset(...)` or a `Dataset`.
        surrogate: name of a kind of surrogate (`list_surrogates()`), or one with its settings.
        seed: of random draws.
        progress: whether a long fit shows a progress bar.
        settings: hyperparameters of a surrogate that is given by name. `device` is that of the
            network unless it is given.

    Raises:
        Refused: this kind of surrogate does not apply to this network.
        ConfigError: a hyperparameter is not known, or has a value that it cannot have.
        ValueError: names the argument that does not fit.

    Example:
        >>> import gpex_bench as gb, torch
        >>> x, y = torch.randn(60, 4), torch.arange(60) % 2
        >>> data = gb.arrays(x[:40], y[:40], x[40:], y[40:])
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        >>> fitted = gb.fit(module, data, "last_layer")
        >>> list(fitted.agreement("test")["head"])
        ['0', '1', 'all']
    """
    _check(data, surrogate, settings)
    seen = as_network(network, asking.inputs(data.train), data)
    recipe = _recipe(surrogate, settings, seen)
    here = seen.on_cpu()
    name = surrogate if isinstance(surrogate, str) else name_of(recipe)

    start = time.perf_counter()
    with (
        bar(f"fitting {name}", progress) as shown,
        counted(here.model()) as rows,
        torch.random.fork_rng(devices=[]),
    ):
        found = recipe.fit(here.model(), data, seed, Shown(shown)).eval().cpu()
        factor = interval_factor(recipe, found, here.model(), data, seed)
    seconds = time.perf_counter() - start
    return Fitted(
        name=name,
        recipe=recipe,
        surrogate=_stored(recipe, with_factor(found.state_dict(), factor), here, data),
        network=here,
        data=data,
        seed=seed,
        seconds=seconds,
        forward_rows=rows.forward,
    )


def _check(data: Dataset, surrogate: str | Recipe, settings: dict[str, Any]) -> None:
    """Raise ValueError for data without training samples, or settings that nothing reads."""
    if not isinstance(data, Dataset):
        raise ValueError(f"data must be a Dataset, such as arrays(...), got {type(data).__name__}.")
    if not len(data.train.x):
        raise ValueError("data must have training samples to fit a surrogate to, got none.")
    if isinstance(surrogate, Recipe) and settings:
        raise ValueError(
            f"settings ({', '.join(settings)}) go with the name of a surrogate, and this one has "
            "its own; give them where it is made."
        )


def _stored(recipe: Recipe, kept: dict[str, Tensor], network: Network, data: Dataset) -> Surrogate:
    """Return a surrogate on the CPU, as every later stage of the workflow gets it."""
    state = {key: tensor.cpu() for key, tensor in kept.items()}
    return restored(recipe, network.model(), data, state)


def _recipe(surrogate: str | Recipe, settings: dict[str, Any], network: Network) -> Recipe:
    """Return how the surrogate is fitted: where the network is, unless the settings say where.

    Raises:
        Refused: it stands in for something else than logits.
    """
    recipe = surrogate
    if isinstance(recipe, str):
        name = recipe
        recipe = recipe_named(name, **settings)
        has_device = hasattr(recipe, "device") and "device" not in settings
        if has_device:
            recipe = recipe_named(name, device=str(network.device), **settings)

    if "logits" not in recipe.takes_explained:
        takes = ", ".join(sorted(recipe.takes_explained))
        raise Refused(f"{name_of(recipe)} is fitted to {takes}, and what is explained is logits.")
    return recipe


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """Return the short table of agreement: one row for each split and head."""
    is_overall = table["head"] == ALL
    statistic = table["statistic"]

    # The row of all heads has the means, under the names of the statistics.
    of_heads = table[~is_overall]
    of_all = table[is_overall & statistic.str.startswith("mean_")]
    of_all = of_all.assign(statistic=of_all["statistic"].str.removeprefix("mean_"))
    kept = pd.concat([of_heads, of_all])

    wide = kept.pivot(index=["split", "head"], columns="statistic", values="value")
    order = table[["split", "head"]].drop_duplicates()
    shown = order.merge(wide[list(SHOWN)].reset_index(), on=["split", "head"])
    return shown.rename_axis(columns=None)
