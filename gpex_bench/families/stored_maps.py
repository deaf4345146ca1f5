"""Maps that were made elsewhere: how they are read, checked and found by sample.

A file of maps is .npz or .safetensors with these keys:

- values [n, *feature]: the maps; float32 is what is kept of them.
- sample [n]: the identities of their samples (`Split.sample`). Without it, the maps are those of
  all test rows in order.
- target [n], optional: the output that each map explains. Without it, it is not compared.
- residual [n], optional: what the values should sum to, minus their sum.
- inputs [n], optional: checksums of the inputs that were explained (`checksums`), so that maps of
  other rows with the same identities are found out.

The explanations that a run stores are such files: they have `query.sample` and `query.target`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import Attribution, Dataset, Query, value
from gpex_bench.types.demands import Refused

ENDINGS = (".npz", ".safetensors")
# by key, the names that it may have in a file: the second one is that in the files of a run
NAMES = {
    "values": ("values",),
    "sample": ("sample", "query.sample"),
    "target": ("target", "query.target"),
    "residual": ("residual",),
    "inputs": ("inputs",),
}
N_NAMED = 5  # samples that a message lists


@value
class StoredMaps:
    """Maps with the samples that they explain; a map is found by the identity of its sample."""

    where: str  # what messages call them: the file, or the name of the argument
    values: Float[Tensor, "n *feature"]
    sample: Int[Tensor, "n"] | None = None  # None: all test rows in order
    target: Int[Tensor, "n"] | None = None  # None: not known
    residual: Float[Tensor, "n"] | None = None
    inputs: Int[Tensor, "n"] | None = None  # checksums of what was explained; None: not known

    def of(self, query: Query, data: Dataset) -> Attribution:
        """Return the maps of a query's samples.

        Raises:
            Refused: the inputs are not the samples themselves, so that maps would have to be made.
            ValueError: a sample has no map, or its map is of another shape or explains another
                output.
        """
        expected = tuple(query.x.shape[1:])
        if self.values.shape[1:] != expected:
            raise ValueError(self._of_another_shape(expected))
        _check_inputs(query, data)

        rows = self._rows(query, data)
        self._check_same(query, rows)
        self._check_targets(query, rows)

        device = query.x.device
        values = self.values[rows].to(device)
        if self.residual is None:
            return Attribution(values=values)
        return Attribution(values=values, residual=self.residual[rows].to(device))

    def _of_another_shape(self, expected: tuple[int, ...]) -> str:
        """Return the message about maps that have not the shape of the inputs."""
        got = tuple(self.values.shape[1:])
        text = f"values in {self.where} must be maps of {expected}, as the inputs are, got {got}"

        is_image = len(expected) == 3
        if is_image and got in (expected[1:], (1, *expected[1:])):
            n_channels = expected[0]
            return (
                f"{text}; repeat each map for the {n_channels} channels and divide by {n_channels}."
            )
        if is_image and got == (*expected[1:], expected[0]):
            return f"{text}; put the channels first: values.transpose(0, 3, 1, 2)."
        return f"{text}; a map has one number for each entry of the input."

    def _rows(self, query: Query, data: Dataset) -> Int[Tensor, "batch"]:
        """Return the row of each sample's map; raises ValueError where there is none."""
        known = self.sample
        if known is None:
            known = data.test.sample
            if len(self.values) != len(known):
                raise ValueError(
                    f"values in {self.where} must be one map for each of the {len(known)} test "
                    f"rows of {data.name} in order, got {len(self.values)}; or name their samples "
                    "in `sample`."
                )

        row_of = {sample: row for row, sample in enumerate(known.tolist())}
        asked = query.sample.tolist()
        missing = [sample for sample in asked if sample not in row_of]
        if missing:
            raise ValueError(
                f"{self.where} has no map of {len(missing)} of the {len(asked)} samples that are "
                f"explained: {listed(missing)}; add them."
            )
        return torch.tensor([row_of[sample] for sample in asked], dtype=torch.int64)

    def _check_same(self, query: Query, rows: Int[Tensor, "batch"]) -> None:
        """Check that the maps were made for these inputs, and not for others of the same names."""
        if self.inputs is None:
            return
        other = (self.inputs[rows] != checksums(query.x)).nonzero().flatten().tolist()
        if other:
            samples = [int(query.sample[row]) for row in other]
            raise ValueError(
                f"The maps in {self.where} were made for other inputs than these of the same "
                f"samples, {listed(samples)}: rows were counted, or the data have changed. Explain "
                "the test split itself (`data.test`), whose samples have their identities."
            )

    def _check_targets(self, query: Query, rows: Int[Tensor, "batch"]) -> None:
        """Check that the maps explain the outputs that are asked about."""
        if self.target is None:
            return
        asked = query.target.to(self.target.device)
        other = (self.target[rows] != asked).nonzero().flatten().tolist()
        if other:
            first = other[0]
            raise ValueError(
                f"The maps in {self.where} explain other outputs than the network's for "
                f"{len(other)} of {len(rows)} samples: that of sample {int(query.sample[first])} "
                f"explains output {int(self.target[rows[first]])}, not {int(asked[first])}. They "
                "were made for another network or target; make them for this one."
            )


def _check_inputs(query: Query, data: Dataset) -> None:
    """Raise Refused for inputs that are not those of their samples: shifted, noisy, blended.

    A stored map is one of the sample as it is. Samples of neither split cannot be compared.
    """
    for split in (data.test, data.train):
        row_of = {sample: row for row, sample in enumerate(split.sample.tolist())}
        pairs = [
            (row_of[sample], row)
            for row, sample in enumerate(query.sample.tolist())
            if sample in row_of
        ]
        if not pairs:
            continue
        of_split, of_query = torch.tensor(pairs).unbind(1)
        if not torch.equal(split.x[of_split], query.x[of_query].to(split.x)):
            raise Refused(f"{CANNOT_BE_ASKED}, of the samples as they are in {data.name}.")


def checksums(x: Float[Tensor, "n *feature"]) -> Int[Tensor, "n"]:
    """Return a checksum of each input, of its bytes in float32."""
    rows = x.detach().cpu().to(torch.float32).contiguous().flatten(1).numpy()
    return torch.tensor([zlib.crc32(row.tobytes()) for row in rows], dtype=torch.int64)


def listed(samples: list[int]) -> str:
    """Return the first samples as text."""
    more = len(samples) - N_NAMED
    text = ", ".join(map(str, samples[:N_NAMED]))
    return f"{text} and {more} more" if more > 0 else text


# --- from arrays ----------------------------------------------------------------------------------


def stored_maps(  # noqa: PLR0913 - the arrays of a file, by their keys
    values: Any,
    *,
    sample: Any = None,
    target: Any = None,
    residual: Any = None,
    inputs: Any = None,
    where: str,
) -> StoredMaps:
    """Return maps from arrays, checked.

    Args:
        values: [n, *feature], numbers of any type; numpy or torch, as all of these.
        sample: [n], identities of the samples; None: all test rows in order.
        target: [n], the outputs that are explained; None: not known.
        residual: [n], what the values should sum to, minus their sum.
        inputs: [n], `checksums` of what was explained; None: not known.
        where: what messages call the maps, such as the name of their file.

    Raises:
        ValueError: names the key, what came, and what to do.
    """
    maps = _numbers(values, "values", where)
    if maps.ndim < 2 or not len(maps):
        raise ValueError(
            f"values in {where} must be [n, *feature] with at least 1 map, got "
            f"{list(maps.shape)}; a single map needs a first axis of length 1."
        )

    identities = _whole_numbers(sample, "sample", len(maps), where)
    names = list(range(len(maps))) if identities is None else identities.tolist()
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(
            f"sample in {where} names {listed(twice)} more than once; keep one map of each sample."
        )
    _check_finite(maps, "values", names, where)

    lost = None
    if residual is not None:
        lost = _numbers(residual, "residual", where)
        _check_length(lost, "residual", len(maps), where)
        _check_finite(lost, "residual", names, where)
    return StoredMaps(
        where=where,
        values=maps,
        sample=identities,
        target=_whole_numbers(target, "target", len(maps), where),
        residual=lost,
        inputs=_whole_numbers(inputs, "inputs", len(maps), where),
    )


def _tensor(array: Any, key: str, where: str) -> Tensor:
    """Return an array as a tensor on the CPU; raises ValueError for what is none."""
    if isinstance(array, Tensor):
        return array.detach().cpu()
    array = np.asarray(array)

    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{key} in {where} must be numbers, got {array.dtype}; convert it before you store it."
        )
    # torch knows neither foreign byte orders nor all widths
    wide = np.float64 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array).astype(wide))


def _numbers(array: Any, key: str, where: str) -> Tensor:
    """Return an array as float32; raises ValueError for complex numbers and text."""
    tensor = _tensor(array, key, where)
    if tensor.is_complex():
        raise ValueError(f"{key} in {where} must be real numbers, got {tensor.dtype}.")
    return tensor.to(torch.float32).contiguous()


def _whole_numbers(array: Any, key: str, n_maps: int, where: str) -> Tensor | None:
    """Return an array as int64, or None; raises ValueError for other numbers and lengths."""
    if array is None:
        return None
    tensor = _tensor(array, key, where)
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(
            f"{key} in {where} must be whole numbers, got {getattr(array, 'dtype', tensor.dtype)}; "
            "convert it to int64."
        )
    _check_length(tensor, key, n_maps, where)
    return tensor.to(torch.int64)


def _check_length(tensor: Tensor, key: str, n_maps: int, where: str) -> None:
    if tuple(tensor.shape) != (n_maps,):
        raise ValueError(
            f"{key} in {where} must be [{n_maps}], one number for each map, got "
            f"{list(tensor.shape)}."
        )


def _check_finite(tensor: Tensor, key: str, names: list[int], where: str) -> None:
    """Raise ValueError for maps that are NaN or infinite, also where float32 cannot hold them."""
    is_finite = tensor.isfinite().reshape(len(tensor), -1).all(1)
    bad = [names[row] for row in (~is_finite).nonzero().flatten().tolist()]
    if bad:
        raise ValueError(
            f"{key} in {where} must be finite in float32; those of {len(bad)} of {len(names)} "
            f"samples are not: {listed(bad)}."
        )


# --- files ----------------------------------------------------------------------------------------


def read_maps(path: Path) -> StoredMaps:
    """Return the maps of a file.

    Raises:
        ValueError: names the file, the key, what came, and what to do.
    """
    there = _names(path)
    if "values" not in there:
        listing = ", ".join(sorted(there)) or "none"
        raise ValueError(
            f"{path} has no key 'values', the maps [n, *feature]; its keys: {listing}."
        )

    arrays: dict[str, Any] = {}
    for key, names in NAMES.items():
        own = [name for name in names if name in there]
        arrays[key] = _array(path, own[0]) if own else None
    values = arrays.pop("values")
    return stored_maps(values, where=str(path), **arrays)


def has_residual(path: Path) -> bool:
    """Return whether a file says what its maps should sum to; False if it cannot be read."""
    try:
        return "residual" in _names(path)
    except ValueError:
        return False  # what is wrong with it is said where its maps are read


def write_maps(path: Path, maps: StoredMaps) -> None:
    """Write maps under the keys that are read, as .npz or .safetensors.

    Raises:
        ValueError: the file has another ending.
    """
    if path.suffix not in ENDINGS:
        raise ValueError(f"file must end with {' or '.join(ENDINGS)}, got {path}.")
    fields = {key: getattr(maps, key) for key in NAMES}
    tensors = {key: tensor for key, tensor in fields.items() if tensor is not None}

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **{key: tensor.numpy() for key, tensor in tensors.items()})
    else:
        save_file(tensors, path)


def _names(path: Path) -> list[str]:
    """Return the names of the arrays in a file; raises ValueError if it cannot be read."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"file must end with {' or '.join(ENDINGS)}, got {path}.")
    if not path.is_file():
        raise ValueError(
            f"file {path} does not exist; a path is relative to the folder in which the run starts."
        )
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        with safe_open(path, framework="pt") as tensors:
            return list(tensors.keys())
    except (SafetensorError, zipfile.BadZipFile, OSError) as error:
        raise ValueError(
            f"{path} is not a {path.suffix} file ({error}); write it again."
        ) from error


def _array(path: Path, name: str) -> Any:
    """Return one array of a file; raises ValueError for one that cannot be read."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return arrays[name]
        with safe_open(path, framework="pt") as tensors:
            return tensors.get_tensor(name)
    except (SafetensorError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"{name} in {path} cannot be read ({error}); store it as an array of numbers."
        ) from error
