"""The jobs of a run in order, for a run without Snakemake; the workflow's rules say the same.

A job has the same files and the same parameters as its rule. Runs of a study are for Snakemake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpex_bench.config import Config
from gpex_bench.config.schema import Network
from gpex_bench.run import plan
from gpex_bench.run.aggregate import OTHERS, PARTS
from gpex_bench.run.artefacts import sidecar
from gpex_bench.run.orders import Order
from gpex_bench.statistics import TABLES

Chain = list[Order]  # jobs that need one another, in order
Files = Mapping[str, Sequence[Path]]


class Schedule:
    """The jobs of a run.

    Args:
        config: without a study.
        folder: of the run, in which all its files are.
        written: the config as the report shows it.
        command: how the run is made again, for the report.
    """

    def __init__(
        self, config: Config, folder: Path, written: Mapping[str, Any], command: str
    ) -> None:
        self.config = config
        self.folder = folder
        self.written = written
        self.command = command

    def steps(self) -> list[list[Chain]]:
        """Return the steps of the run; the chains of a step do not need one another."""
        networks = self.config.networks
        datasets = sorted({network.dataset for network in networks})
        return [
            [[self._prepare(dataset)] for dataset in datasets],
            [chain for network in networks for chain in self._trained(network)],
            [chain for network in networks for chain in self._fitted(network)],
            [chain for network in networks for chain in self._cells(network)],
            [[self._aggregate(), self._draw(), self._report()]],
        ]

    # --- files ---

    def _data(self, dataset: str) -> Path:
        return self.folder / dataset / "data.safetensors"

    def _per_seed(self, network: Network, name: str) -> list[Path]:
        """Return a file of each training seed of a network."""
        folder = self.folder / network.dataset / network.model
        seeds = self.config.seeds_of(network.model)
        return [folder / f"seed-{seed}" / name for seed in seeds]

    def _of_network(self, network: Network) -> dict[str, list[Path]]:
        """Return the inputs of all jobs on a network."""
        models = self._per_seed(network, "model.safetensors")
        return {"data": [self._data(network.dataset)], "models": models}

    def _of_all(self, name: str) -> list[Path]:
        """Return a file of each method, network and seed."""
        found = []
        for network in self.config.networks:
            for method in plan.methods(self.config, network):
                found += self._per_seed(network, name.format(method=method))
        return found

    def _of_surrogates(self, name: str) -> list[Path]:
        """Return a file of each surrogate, network and seed."""
        found = []
        for network in self.config.networks:
            for surrogate in network.surrogates:
                found += self._per_seed(network, name.format(surrogate=surrogate))
        return found

    def _of_method(self, network: Network, method: str) -> dict[str, list[Path]]:
        """Return the inputs of a method on a network: also the surrogate that it uses."""
        surrogate = plan.surrogate_of(self.config, method)
        files: list[Path] = []
        if surrogate is not None:
            files = self._per_seed(network, f"surrogates/{surrogate}.safetensors")
        return {**self._of_network(network), "surrogates": files}

    @property
    def _tables(self) -> list[Path]:
        names = (*PARTS, *OTHERS, *TABLES)
        tables = [self.folder / "tables" / f"{name}.parquet" for name in names]
        return [*tables, *map(sidecar, tables)]

    # --- jobs ---

    def _order(
        self,
        rule: str,
        inputs: Files,
        outputs: Files,
        wildcards: Mapping[str, str],
        **params: Any,
    ) -> Order:
        return Order(
            rule=rule,
            config=self.config,
            folder=self.folder,
            inputs=inputs,
            outputs=outputs,
            wildcards=wildcards,
            params=params,
            written=self.written,
        )

    def _settings(self, kind: str, run_id: str) -> str:
        return plan.settings(self.config, kind, run_id)

    def _prepare(self, dataset: str) -> Order:
        entry = self.config.entry("dataset", dataset)
        return self._order(
            "prepare",
            {},
            {"data": [self._data(dataset)]},
            {"dataset": dataset},
            settings=self._settings("dataset", dataset),
            code=plan.code("stages/prepare", entry),
        )

    def _trained(self, network: Network) -> list[Chain]:
        """Return a chain for each training seed of a network."""
        entry = self.config.entry("model", network.model)
        seeds = self.config.seeds_of(network.model)
        files = self._per_seed(network, "model.safetensors")
        return [
            [
                self._order(
                    "train",
                    {"data": [self._data(network.dataset)]},
                    {"network": [file]},
                    {"dataset": network.dataset, "model": network.model, "seed": str(seed)},
                    settings=self._settings("model", network.model),
                    code=plan.code("stages/train", entry),
                )
            ]
            for seed, file in zip(seeds, files, strict=True)
        ]

    def _fitted(self, network: Network) -> list[Chain]:
        """Return a chain for each surrogate of a network: it is fitted and compared."""
        return [
            [self._fit(network, name), self._agree(network, name)] for name in network.surrogates
        ]

    def _fit(self, network: Network, surrogate: str) -> Order:
        files = self._per_seed(network, f"surrogates/{surrogate}.safetensors")
        return self._order(
            "fit",
            self._of_network(network),
            {"surrogates": files},
            {"dataset": network.dataset, "model": network.model, "surrogate": surrogate},
            settings=self._settings("surrogate", surrogate),
            code=plan.code("stages/fit", *self._entries_of(network, surrogate)),
        )

    def _agree(self, network: Network, surrogate: str) -> Order:
        files = self._per_seed(network, f"surrogates/{surrogate}.safetensors")
        return self._order(
            "agree",
            {**self._of_network(network), "surrogates": files},
            {
                "agreement": self._per_seed(network, f"agreement/{surrogate}.parquet"),
                "predictions": self._per_seed(
                    network, f"agreement/{surrogate}_predictions.parquet"
                ),
            },
            {"dataset": network.dataset, "model": network.model, "surrogate": surrogate},
            settings=self._settings("surrogate", surrogate),
            code=plan.code("stages/agree", *self._entries_of(network, surrogate)),
        )

    def _entries_of(self, network: Network, surrogate: str) -> list[Any]:
        return [
            self.config.entry("surrogate", surrogate),
            self.config.entry("model", network.model),
        ]

    def _cells(self, network: Network) -> list[Chain]:
        """Return a chain for each method that applies to a network: it explains and is scored."""
        return [
            [self._explain(network, method), self._score(network, method)]
            for method in plan.methods(self.config, network)
        ]

    def _explain(self, network: Network, method: str) -> Order:
        limits = self.config.explain
        return self._order(
            "explain",
            self._of_method(network, method),
            {"explanations": self._per_seed(network, f"explanations/{method}.safetensors")},
            {"dataset": network.dataset, "model": network.model, "method": method},
            settings=self._settings("method", method),
            limits=f"{limits.samples} samples, {limits.timeout_s} s",
            code=plan.code("stages/explain", *self._entries_of_cell(network, method)),
        )

    def _score(self, network: Network, method: str) -> Order:
        of_curves, others = plan.metrics(self.config, network, method)
        explanations = self._per_seed(network, f"explanations/{method}.safetensors")
        entries = [self.config.entry("metric", metric) for metric in others]
        return self._order(
            "score",
            {**self._of_method(network, method), "explanations": explanations},
            {
                "scores": self._per_seed(network, f"scores/{method}.parquet"),
                "curves": self._per_seed(network, f"curves/{method}.safetensors"),
            },
            {"dataset": network.dataset, "model": network.model, "method": method},
            metrics=others,
            curves=plan.curves(self.config, of_curves),
            variants=plan.variants(self.config, of_curves),
            settings=[self._settings("metric", metric) for metric in others],
            limits=repr(self.config.explain),
            code=plan.code("stages/score", *entries, *self._entries_of_cell(network, method)),
        )

    def _entries_of_cell(self, network: Network, method: str) -> list[Any]:
        return [
            self.config.entry("method", method),
            self.config.entry("model", network.model),
            plan.surrogate_entry(self.config, method),
        ]

    def _aggregate(self) -> Order:
        every = self.config.entries["metric"]
        models = [
            file
            for network in self.config.networks
            for file in self._per_seed(network, "model.safetensors")
        ]
        tables = self.folder / "tables"
        return self._order(
            "aggregate",
            {
                "models": models,
                "explanations": self._of_all("explanations/{method}.safetensors"),
                "scores": self._of_all("scores/{method}.parquet"),
                "curves": self._of_all("curves/{method}.safetensors"),
                "agreement": self._of_surrogates("agreement/{surrogate}.parquet"),
                "predictions": self._of_surrogates("agreement/{surrogate}_predictions.parquet"),
                "surrogates": self._of_surrogates("surrogates/{surrogate}.safetensors"),
            },
            {
                "tables": self._tables,
                "costs": [tables / "costs.json"],
                "surrogate_costs": [tables / "surrogate_costs.json"],
                "cards": [tables / "cards.json"],
            },
            {},
            plan=plan.applications(self.config),
            headline=self.config.headline,
            settings=[self._settings("metric", metric) for metric in every],
            code=plan.code("stages/aggregate", *every.values()),
        )

    def _draw(self) -> Order:
        return self._order(
            "draw",
            {"tables": self._tables, "cards": [self.folder / "tables" / "cards.json"]},
            {"figures": [self.folder / "figures"]},
            {},
            headline=self.config.headline,
        )

    def _report(self) -> Order:
        tables = self.folder / "tables"
        return self._order(
            "report",
            {
                "tables": self._tables,
                "cards": [tables / "cards.json"],
                "costs": [tables / "costs.json"],
                "surrogate_costs": [tables / "surrogate_costs.json"],
                "figures": [self.folder / "figures"],
                "study": [],  # an evaluation is no study
            },
            {
                "report": [self.folder / "report.html"],
                "summary": [self.folder / "summary.md"],
                "ranking": [self.folder / "ranking.tex"],
                "shown": [self.folder / "shown"],
            },
            {},
            headline=self.config.headline,
            command=self.command,
            tables_code=plan.code("stages/aggregate", *self.config.entries["metric"].values()),
        )
