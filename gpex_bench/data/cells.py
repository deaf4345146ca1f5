"""Blood cells by the genes they express: 700 cells, 765 genes, ten types of cells.

The cells are a part of those of zheng2017massively (10x Genomics, 68,000 peripheral blood cells);
the file is inside the package scanpy (wolf2018scanpy) and is read without importing it. Types are
`bulk_labels`: each cell has the name of the sorted population whose mean profile is most like its
own, so that a few names are wrong for single cells.

Columns are the logarithms of normalised counts, standardised by mean and deviation of the training
rows. An absent gene is one that is not expressed: a count of zero. It is not the mean.

The truth is knowledge from the literature, and is not planted: the mask of a cell holds the marker
genes of its type (`MARKERS`). A network may be right by other genes, which go along with them, so
that a method can be right and miss the markers. Methods that rate a cell's markers no higher than
chance say at least that the network does not use what biologists do, or that they are wrong.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from gpex_bench.data.files import splits, tables
from gpex_bench.types import Dataset, Need, Source, Truth, settings
from gpex_bench.types.packages import INSTALL, packaged_file

RAW = "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f"  # sha256 of the file

# Marker genes of each type that are among the 765: of T, B, NK, cytotoxic and dendritic cells and
# of monocytes as in zheng2017massively and the tutorial of wolf2018scanpy; of naive and memory T
# cells and of CD34+ cells as in hao2021integrated. Those of regulatory T cells are mostly missing.
_T = ("CD3D", "CD3E")
MARKERS = {
    "CD4+/CD25 T Reg": (*_T, "CD4", "TNFRSF4"),
    "CD4+/CD45RA+/CD25- Naive T": (*_T, "CD4", "IL7R", "CCR7"),
    "CD4+/CD45RO+ Memory": (*_T, "CD4", "IL7R", "S100A4"),
    "CD8+ Cytotoxic T": (*_T, "CD8A", "CD8B", "NKG7", "CCL5"),
    "CD8+/CD45RA+ Naive Cytotoxic": (*_T, "CD8A", "CD8B", "CCR7"),
    "CD14+ Monocyte": ("LYZ", "S100A8", "S100A9", "FCGR3A"),
    "CD19+ B": ("CD79A", "CD79B", "MS4A1"),
    "CD34+": ("SPINK2", "PRSS57", "CYTL1", "EGFL7", "GATA2"),
    "CD56+ NK": ("NKG7", "GNLY", "GZMB", "PRF1"),
    "Dendritic": ("FCER1A", "CST3", "CLEC10A"),
}


@settings
class Cells(Source):
    """Ten types of blood cells, 560 and 140 cells of 765 genes; markers of the literature as truth.

    An absent gene is not expressed.
    """

    offers = frozenset({Need.TABLE, Need.TRUTH})
    remarks = (
        "Marker genes are knowledge of the literature, not planted: a network may use other genes, "
        "and a method may be right to show them. Types are named by likeness with sorted "
        "populations; the rarest has 8 cells.",
    )

    n_test: int = 140  # one fifth
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the cells; ids are rows of the file.

        Raises:
            ValueError: a package is not installed, the file is another one, or `n_test` is out of
                range.
        """
        counts, genes, types, labels = _read()
        y = torch.from_numpy(labels)
        train, test = splits.stratified(y, self.n_test, self.seed)

        # The last row is a cell that expresses nothing.
        with_none = np.vstack([counts, np.zeros_like(counts[:1])])
        x = tables.standardised(with_none, train)
        return Dataset(
            name="cells",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=types,
            features=genes,
            baseline=x[-1].clone(),
            truth=Truth(
                mask=_markers(types, genes)[y[test]],
                train_group=y[train],
                test_group=y[test],
            ),
        )


def _markers(types: tuple[str, ...], genes: tuple[str, ...]) -> Tensor:
    """Return which genes are markers of each type, [type, gene]."""
    return torch.tensor([[gene in MARKERS[name] for gene in genes] for name in types])


def _read() -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...], NDArray[np.int64]]:
    """Return log counts [700, 765], names of genes and of types, and the type of each cell."""
    path = packaged_file("scanpy", "datasets/10x_pbmc68k_reduced.h5ad", RAW, is_extra=True)
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"The package h5py, which reads {path.name}, {INSTALL}.") from error

    with h5py.File(path) as file:
        genes = tuple(name.decode() for name in file["raw.var"]["index"])
        types = tuple(name.decode() for name in file["uns/bulk_labels_categories"])
        labels = file["obs"]["bulk_labels"].astype(np.int64)
        stored = file["raw.X"]
        parts = (stored["data"][:], stored["indices"][:], stored["indptr"][:])
    counts = csr_array(parts, shape=(len(labels), len(genes)))
    return counts.toarray().astype(np.float64), genes, types, labels
