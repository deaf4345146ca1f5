"""Image sets that are downloaded.

Tiny files in the publishers' layout; the real ones where a folder is named.
"""

import gzip
import io
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
import torchvision
from PIL import Image
from pyarrow import parquet

from gpex_bench.data import cifar10, mnist
from gpex_bench.data.cifar10 import Cifar10
from gpex_bench.data.fashion_mnist import FashionMnist
from gpex_bench.data.files import archives, splits
from gpex_bench.data.mnist import Mnist

REAL = os.environ.get(archives.VARIABLE, "")
needs_files = pytest.mark.skipif(
    not REAL, reason=f"{archives.VARIABLE} names no folder with the real image sets"
)
N, M = 12, 5


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def idx(array, magic):
    return np.array([magic, *array.shape], ">i4").tobytes() + array.tobytes()


def write_digits(place, compressed):
    place.mkdir(parents=True)
    raw = [(pixels(N, 28, 28), 0x803), (pixels(N, seed=1) % 10, 0x801)]
    raw += [(pixels(M, 28, 28, seed=2), 0x803), (pixels(M, seed=3) % 10, 0x801)]
    for name, (array, magic) in zip(mnist.FILES, raw, strict=True):
        content = idx(array, magic)
        path = place / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content) if compressed else content)
    return [array for array, _ in raw]


@pytest.fixture
def digits(tmp_path, monkeypatch):
    arrays = write_digits(tmp_path / "MNIST/raw", compressed=True)
    x, y, test_x, test_y = arrays
    ours = splits.digest((x[:, None], y.astype(np.int64), test_x[:, None], test_y.astype(np.int64)))
    monkeypatch.setattr(mnist, "RAW", ours)
    return tmp_path, arrays


def test_digits_are_those_on_disk(digits):
    root, (x, y, test_x, test_y) = digits
    data = Mnist(root=str(root), download=False).load()
    assert (data.name, len(data.train.y), len(data.test.y)) == ("mnist", N, M)
    np.testing.assert_array_equal(data.train.x[:, 0].mul(255).round(), x[data.train.sample])
    np.testing.assert_array_equal(data.train.y, y[data.train.sample])
    np.testing.assert_array_equal(data.test.x[:, 0].mul(255).round(), test_x[data.test.sample - N])
    np.testing.assert_array_equal(data.test.y, test_y[data.test.sample - N])
    assert sorted([*data.train.sample.tolist(), *data.test.sample.tolist()]) == list(range(N + M))


def test_uncompressed_digits_are_the_same_as_torchvision_reads(tmp_path):
    write_digits(tmp_path / "FashionMNIST/raw", compressed=False)
    data = FashionMnist(root=str(tmp_path), download=False).load()
    theirs = torchvision.datasets.FashionMNIST(str(tmp_path), train=True, download=False)
    order = data.train.sample.argsort()
    assert torch.equal(data.train.x[order, 0], theirs.data.float() / 255)
    assert torch.equal(data.train.y[order], theirs.targets)
    direct = FashionMnist(
        root=str(tmp_path / "FashionMNIST/raw"), download=False
    ).load()  # as Debian has them
    assert splits.dataset_digest(direct) == splits.dataset_digest(data)


def test_the_environment_names_the_folder(digits, monkeypatch):
    monkeypatch.setenv(archives.VARIABLE, str(digits[0]))
    assert len(Mnist(download=False).load().train.y) == N


def test_a_part_is_a_part_of_the_whole(digits):
    root = str(digits[0])
    whole, part = Mnist(root=root).load(), Mnist(root=root, n_train=4, n_test=2).load()
    assert torch.equal(part.train.x, whole.train.x[:4])
    assert torch.equal(part.test.sample, whole.test.sample[:2])
    other = Mnist(root=root, n_train=4, n_test=2, seed=1).load()
    assert not torch.equal(other.train.sample, part.train.sample)
    with pytest.raises(
        ValueError, match="n_train must be at most 12, the samples that there are, got 13"
    ):
        Mnist(root=root, n_train=13).load()


def test_copies_are_shifted_and_have_ids_of_their_own(digits):
    root = str(digits[0])
    once, more = Mnist(root=root).load(), Mnist(root=root, copies=10).load()
    assert len(more.train.y) == 10 * N
    assert len(set(more.train.sample.tolist()) | set(more.test.sample.tolist())) == 10 * N + M
    assert torch.equal(more.test.x, once.test.x)
    for number, (down, right) in enumerate(archives.shifts(10)):
        copy = more.train.x[number * N : (number + 1) * N]
        rolled = once.train.x.roll((down, right), (2, 3))
        inside = torch.zeros(28, 28, dtype=torch.bool)
        inside[max(down, 0) : 28 + min(down, 0), max(right, 0) : 28 + min(right, 0)] = True
        assert torch.equal(copy, rolled * inside)
    assert archives.shifts(5) == [(0, 0), (-1, 0), (0, -1), (0, 1), (1, 0)]


@pytest.mark.parametrize("source", [Mnist, FashionMnist, Cifar10])
def test_what_is_missing_is_named_with_what_to_do(tmp_path, source):
    with pytest.raises(
        ValueError,
        match=rf"is not in .*and download is false\. Put .* or the environment .*{archives.VARIABLE}",
    ):
        source(root=str(tmp_path), download=False).load()


def test_a_failed_download_is_named(tmp_path, monkeypatch):
    def offline(self):
        raise RuntimeError("no route to host")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", offline)
    with pytest.raises(
        ValueError,
        match=r"cannot be downloaded \(RuntimeError: no route to host\)\. Put train-images",
    ):
        Mnist(root=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-9], "is damaged.*Delete it"),
        (
            lambda content: gzip.compress(idx(pixels(N, 28, 28), 0x801)),
            "first four bytes are 0x801",
        ),
        (lambda content: gzip.compress(idx(pixels(N, 28, 28), 0x803)[:-1]), "is damaged"),
        (lambda content: gzip.compress(idx(pixels(3, 28, 28), 0x803)), "3 images, 12 labels"),
        (
            lambda content: gzip.compress(idx(pixels(N, 28, 28, seed=9), 0x803)),
            "MNIST in .* changed",
        ),
    ],
    ids=["cut", "format", "short", "fewer", "other"],
)
def test_damaged_digits_are_refused(digits, damage, message):
    path = digits[0] / "MNIST/raw/train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        Mnist(root=str(digits[0])).load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_train": 0}, "n_train must be at least 1, or null for all, got 0"),
        ({"copies": 50}, r"copies must be in \[1, 49\], as many as there are shifts, got 50"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Mnist(**settings)


def test_cifar_batches_are_read_by_torchvision(tmp_path, monkeypatch):
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_load_meta", lambda self: None)
    parts = {
        name: (pixels(3, 3072, seed=k), [k, 1, 2]) for k, name in enumerate(cifar10.BATCHES[:6])
    }
    for name, (x, y) in parts.items():
        (place / name).write_bytes(pickle.dumps({"data": x, "labels": y}))
    (place / "batches.meta").write_bytes(b"")
    data = Cifar10(root=str(tmp_path)).load()
    assert (data.name, data.train.x.shape, data.test.x.shape) == (
        "cifar10",
        (15, 3, 32, 32),
        (3, 3, 32, 32),
    )
    everything = np.concatenate([x for x, _ in parts.values()]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(data.train.x.mul(255).round(), everything[data.train.sample])
    np.testing.assert_array_equal(data.test.x.mul(255).round(), everything[data.test.sample])
    np.testing.assert_allclose(
        data.baseline[:, 0, 0], everything[:15].mean((0, 2, 3)) / 255, rtol=1e-6
    )


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    place = tmp_path / "cifar10-jpeg"
    place.mkdir()
    for number, part in enumerate(cifar10.PARTS):
        files = []
        for image in pixels(2, 4, 4, 3, seed=number).repeat(8, 1).repeat(8, 2):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=75)
            files.append(buffer.getvalue())
        table = pa.table(
            {"label": pa.array([number, 9], pa.int8()), "jpeg": pa.array(files, pa.binary())}
        )
        parquet.write_table(table, place / part)
    columns = [cifar10._columns(place / part) for part in cifar10.PARTS]
    arrays = [
        array
        for labels, files in columns
        for array in (labels, np.frombuffer(b"".join(files), np.uint8))
    ]
    monkeypatch.setattr(cifar10, "JPEG", splits.digest(arrays))
    return tmp_path


def test_compressed_photographs_say_what_they_are(photographs):
    data = Cifar10(images="jpeg75", root=str(photographs)).load()
    assert (data.name, data.train.x.shape, data.classes[9]) == (
        "cifar10_jpeg75",
        (4, 3, 32, 32),
        "truck",
    )
    assert sorted(data.train.y.tolist()) == [0, 1, 9, 9]
    first = data.train.x[data.train.sample == 0][0]
    original = (
        torch.from_numpy(pixels(2, 4, 4, 3, seed=0).repeat(8, 1).repeat(8, 2)[0]).permute(2, 0, 1)
        / 255
    )
    assert (first - original).abs().mean() < 0.25  # lossy, but the same picture
    assert (first - original.roll(8, 1)).abs().mean() > (first - original).abs().mean()


def test_damaged_photographs_are_refused(photographs, monkeypatch):
    path = photographs / "cifar10-jpeg/test.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"test\.parquet is damaged"):
        Cifar10(images="jpeg75", root=str(photographs)).load()
    path.unlink()
    with pytest.raises(ValueError, match=r"CIFAR-10 \(JPEG\) is not in"):
        Cifar10(images="jpeg75", root=str(photographs)).load()


@needs_files
def test_real_digits():
    data = Mnist(root=REAL, download=False).load()
    assert (len(data.train.y), len(data.test.y)) == (60_000, 10_000)
    assert data.train.y.bincount().tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]


@needs_files
@pytest.mark.slow
def test_real_photographs():
    data = Cifar10(images="jpeg75", root=REAL).load()
    assert data.train.y.bincount().tolist() == [5000] * 10
    assert data.test.y.bincount().tolist() == [1000] * 10
    np.testing.assert_allclose(
        data.baseline[:, 0, 0], [0.4914, 0.4822, 0.4465], atol=2e-3
    )  # as often reported
