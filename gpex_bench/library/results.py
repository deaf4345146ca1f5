"""What explaining gives: maps or training samples, with what they cost and how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from gpex_bench.families.stored_maps import checksums, stored_maps, write_maps
from gpex_bench.library.wrapping import Network
from gpex_bench.masking.units import per_unit, unit_names, units
from gpex_bench.types import Attribution, Examples, Explainer, Query, Task, value


@value
class Made:
    """How an explanation was made, and what it cost."""

    method: str  # its name
    explainer: Explainer  # with its settings
    network: Network
    task: Task  # what the method looked at: the network, the data, the baseline, the seed
    query: Query  # what was explained, in a batch, on the device of the network
    seconds: float  # of the method's own call
    forward_rows: int  # rows through the network; a batch of 8 is 8 rows
    backward_rows: int
    surrogate_rows: int  # rows through the surrogate, in either direction

    @property
    def cost(self) -> str:
        """The cost in words."""
        rows = f"{self.forward_rows} + {self.backward_rows} rows (forward + backward)"
        if self.surrogate_rows:
            rows = f"{rows}, {self.surrogate_rows} of the surrogate"
        return f"{rows}, {self.seconds:.2g} s"


@value
class Maps:
    """Relevance of each entry of some inputs; positive is evidence for the target.

    Attributes:
        values: of the shape of the inputs, on the CPU.
        residual: of each input, what its values should sum to, minus their sum; None: unknown.
        target: of each input, the output that is explained.
        unsound: why the maps break the promise of their method; "": they keep it. Such maps are
            there to be looked at, and are not scored.
        made: how they were made.
    """

    values: Float[Tensor, "*shape"]
    residual: Float[Tensor, "*n"] | None
    target: Int[Tensor, "*n"]
    sample: Int[Tensor, "*n"]
    unsound: str
    made: Made

    @property
    def rows(self) -> int:
        """How many rows went through the network, forward and backward."""
        return self.made.forward_rows + self.made.backward_rows

    @property
    def seconds(self) -> float:
        """Wall seconds of the method's own call."""
        return self.made.seconds

    @property
    def attribution(self) -> Attribution:
        """The maps in a batch, as metrics take them."""
        values = self.values.reshape(self.made.query.x.shape)
        residual = None if self.residual is None else self.residual.reshape(-1)
        return Attribution(values=values, residual=residual)

    @property
    def frame(self) -> pd.DataFrame:
        """Relevance of each feature of a table, one row an input; a group of columns is one.

        Raises:
            ValueError: the inputs are images.
        """
        if self.made.query.x.ndim != 2:
            raise ValueError("Maps of images are no frame; look at `values`, or `plot()`.")
        data = self.made.task.data
        relevance = per_unit(self.attribution.values, units(data)).numpy()
        samples = pd.Index(self.sample.reshape(-1).numpy(), name="sample")
        return pd.DataFrame(relevance, index=samples, columns=list(unit_names(data)))

    def numpy(self) -> np.ndarray:
        """Return the values as a numpy array, float32."""
        return self.values.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the values, so that numpy takes maps for an array."""
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __len__(self) -> int:
        """Return how many inputs are explained."""
        return len(self.made.query.x)

    def save(self, path: str | Path) -> None:
        """Write maps, samples and targets to a file that the method `precomputed` reads.

        Args:
            path: ends with .npz or .safetensors.

        Raises:
            ValueError: another ending.
        """
        own = self.attribution
        residual = {} if own.residual is None else {"residual": own.residual}
        maps = stored_maps(
            own.values,
            sample=self.sample.reshape(-1),
            target=self.target.reshape(-1),
            inputs=checksums(self.made.query.x),
            where=str(path),
            **residual,
        )
        write_maps(Path(path), maps)

    def plot(self, n: int = 8) -> Figure:
        """Return a figure of the first n maps: over their images, or bars of columns."""
        from gpex_bench.library.shown import maps_drawing

        return maps_drawing(self, n).figure

    def lines(self) -> list[str]:
        """Return what is known of the maps, one line each."""
        shape = " x ".join(map(str, self.values.shape))
        lines = [f"maps of {shape} by {self.made.method}, {self.made.cost}"]
        if self.made.explainer.relative_to == "baseline":
            lines.append(f"relative to the baseline: {of_baseline(self.made.task)}")
        if self.unsound:
            lines.append(f"UNSOUND: {self.unsound}")
        return lines

    def __repr__(self) -> str:
        """Return the lines as text."""
        return "\n  ".join(self.lines())

    def _repr_html_(self) -> str:
        from gpex_bench.library.shown import maps_html

        return maps_html(self)


@value
class Neighbours:
    """Training samples that explain an output, strongest first.

    Attributes:
        index: rows of the training samples, [n, k], or [k] for one input.
        weight: how strongly each one counts, of the same shape; non-increasing.
        target: of each input, the output that is explained.
        made: how they were found.
    """

    index: Int[Tensor, "*n k"]
    weight: Float[Tensor, "*n k"]
    target: Int[Tensor, "*n"]
    sample: Int[Tensor, "*n"]
    made: Made

    @property
    def examples(self) -> Examples:
        """The training samples in a batch, as metrics take them."""
        k = self.index.shape[-1]
        return Examples(index=self.index.reshape(-1, k), weight=self.weight.reshape(-1, k))

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each input and training sample: which, how strong, and its target."""
        own = self.examples
        task = self.made.task
        n, k = own.index.shape
        flat = own.index.reshape(-1)

        samples = self.sample.reshape(-1).numpy()
        names = [named(task, target) for target in self.target.reshape(-1).tolist()]
        training = task.data.train
        return pd.DataFrame(
            {
                "sample": np.repeat(samples, k),
                "target": np.repeat(names, k),
                "rank": np.tile(np.arange(1, k + 1), n),
                "weight": own.weight.reshape(-1).double().numpy(),
                "training_row": flat.numpy(),
                "training_sample": training.sample[flat].numpy(),
                "training_target": [in_words(y, task) for y in training.y[flat]],
            }
        )

    def __len__(self) -> int:
        """Return how many inputs are explained."""
        return len(self.made.query.x)

    def plot(self, n: int = 4) -> Figure:
        """Return a figure of the neighbours of the first n inputs; they must be images.

        Raises:
            ValueError: rows of tables have no picture; `frame` has them.
        """
        from gpex_bench.library.shown import neighbours_drawing

        return neighbours_drawing(self, n).figure

    def __repr__(self) -> str:
        """Return the frame as text."""
        head = f"training samples by {self.made.method}, {self.made.cost}"
        return f"{head}\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        from gpex_bench.library.shown import neighbours_html

        return neighbours_html(self)


def of_baseline(task: Task) -> str:
    """Say what an absent feature looks like."""
    baseline = task.data.baseline
    low, high = float(baseline.min()), float(baseline.max())
    what = f"{low:.4g} everywhere" if low == high else f"entries in {low:.4g} ... {high:.4g}"
    is_assumed = not len(task.data.train.x) and low == high == 0
    return f"{what} (none was given)" if is_assumed else what


def named(task: Task, target: int) -> str:
    """Return the name of an output."""
    classes = task.data.classes
    has_one_logit = task.model.head.out_features == 1 and len(classes) == 2
    return classes[1] if has_one_logit else classes[target]


def in_words(y: Tensor, task: Task) -> str:
    """Return a target of the training samples in words."""
    from gpex_bench.stages.draw.shown import named as in_the_report

    return in_the_report(task.data, y)
