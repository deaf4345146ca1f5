"""The training loop: reproducible, leaves the world as it was, and says what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from gpex_bench.models.cnn import Cnn, CnnTraining
from gpex_bench.models.mlp import Mlp, MlpTraining
from gpex_bench.models.resnet import Resnet
from gpex_bench.models.training import loop
from gpex_bench.models.training.loop import Training, ZooTraining
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Dataset, Kind, Model, Split
from tests.vocabulary import datasets


def silent(line: str) -> None:
    """Take a line of progress."""


def table(n=120, n_features=6, seed=0) -> Dataset:
    """Two classes that differ in the sign of the first column."""
    x = torch.randn(n, n_features, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long()
    cut = n // 2
    train, test = datasets.split(x[:cut], y[:cut]), datasets.split(x[cut:], y[cut:], first=cut)
    return datasets.dataset(train, test, classes=2, name="signs")


def images(n=32, side=12, n_channels=2) -> Dataset:
    """Two classes that differ in brightness."""
    x = torch.rand(n, n_channels, side, side, generator=torch.Generator().manual_seed(1))
    y = torch.arange(n) % 2
    x = x / 2 + y[:, None, None, None] / 2
    half = n // 2
    train = datasets.split(x[:half], y[:half])
    test = datasets.split(x[half:], y[half:], first=half)
    return datasets.dataset(train, test, classes=2, baseline=0.5, name="light")


SHORT = {"epochs": 2, "batch_size": 7, "shift": 2, "occluded": 0.5}
HARD = {**SHORT, "adversarial": 0.1, "attack_steps": 2}
SMALL = [
    (Mlp(wide=16, training=MlpTraining(**SHORT)), table()),
    (Cnn(width=2, wide=8, training=CnnTraining(**SHORT)), images()),
    (Resnet(width=2, wide=8, training=ZooTraining(**SHORT)), images()),
    (Resnet(width=2, wide=8, training=ZooTraining(**HARD)), images()),
]
each = pytest.mark.parametrize(
    ("architecture", "data"), SMALL, ids=["mlp", "cnn", "resnet", "robust resnet"]
)


@each
def test_same_seed_same_bits(architecture, data):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = architecture.train(data, 1, silent).state_dict()
        torch.manual_seed(6)  # whatever the global state is
        again = architecture.train(data, 1, silent).state_dict()
        other = architecture.train(data, 2, silent).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in first.items())
    assert not any(
        torch.equal(other[name], weight)
        for name, weight in first.items()
        if name.endswith("weight")
    )


@each
def test_training_leaves_the_random_state_and_the_data_alone(architecture, data):
    state, kept = (
        torch.get_rng_state(),
        [data.train.x.clone(), data.test.x.clone(), np.random.get_state()[1].copy()],
    )
    architecture.train(data, 1, silent)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.train.x, kept[0])
    assert torch.equal(data.test.x, kept[1])
    np.testing.assert_array_equal(np.random.get_state()[1], kept[2])


@each
def test_trained_network_is_frozen_in_eval_mode_on_the_cpu(architecture, data):
    model = architecture.train(data, 1, silent)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
    x = data.test.x[:2].clone().requires_grad_()
    model(x).sum().backward()
    assert x.grad.abs().sum() > 0


@each
def test_test_split_is_never_looked_at(architecture, data):
    nothing = Split(
        x=torch.full_like(data.test.x, torch.nan), y=data.test.y * 0 - 100, sample=data.test.sample
    )
    first = architecture.train(data, 1, silent).state_dict()
    blind = architecture.train(replace(data, test=nothing), 1, silent).state_dict()
    assert all(torch.equal(blind[name], weight) for name, weight in first.items())


def test_training_learns_and_tells_its_progress():
    data, lines = table(n=600), []
    model = Mlp(
        wide=32, training=MlpTraining(epochs=15, batch_size=16, learning_rate=3e-3, occluded=0.0)
    ).train(data, 1, lines.append)
    assert loop.accuracy(model, data.test.x, data.test.y) > 0.95
    assert len(lines) == 15
    assert lines[0].startswith("epoch 1/15: loss 0.")
    assert "training accuracy 9" in lines[-1]


def test_accuracy_counts_rows_not_batches():
    class Sign(Model):
        def embed(self, x):
            return x

        def forward(self, x):
            return torch.cat([-x, x], dim=1)

    x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [1.0]])
    y = torch.tensor([1, 0, 1, 1, 0])
    assert loop.accuracy(Sign(), x, y, batch_size=2) == 0.6


def test_divergence_stops_with_a_clear_error():
    data = table()
    with pytest.raises(
        FloatingPointError,
        match=r"diverged in epoch \d of 20: .* lower learning_rate \(now 1e\+30\)",
    ):
        Mlp(training=MlpTraining(learning_rate=1e30)).train(data, 1, silent)
    broken = replace(data, train=replace(data.train, x=data.train.x * torch.nan))
    with pytest.raises(
        FloatingPointError, match="epoch 1 of 20: the loss is nan. Check that the inputs are finite"
    ):
        Mlp().train(broken, 1, silent)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("weight_decay", float("inf")),
        ("shift", -1),
        ("occluded", 1.1),
        ("adversarial", -0.1),
        ("attack_steps", 0),
    ],
)
def test_bad_training_settings_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"^{name} must .*got {setting}"):
        Training(**{name: setting})


def test_shift_out_of_the_image_is_refused():
    with pytest.raises(
        ValueError, match="shift must be smaller than the 12 pixels of an image's side, got 12"
    ):
        Cnn(width=2, wide=4, training=CnnTraining(shift=12)).train(images(), 1, silent)


# --- augmentation
# -----------------------------------------------------------------------------------------------------


def test_shifted_images_are_those_of_scipy():
    x = torch.rand(200, 2, 7, 9)
    baseline = torch.rand(2, 7, 9)
    shifted = loop.shift_images(x, baseline, 2, torch.Generator().manual_seed(0))
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    drawn = set()
    for one, before in zip(shifted, x, strict=True):
        twins = [
            np.where(
                ndimage.shift(np.ones((2, 7, 9)), (0, *by), order=0) > 0,
                ndimage.shift(before.numpy(), (0, *by), order=0),
                baseline,
            )
            for by in shifts
        ]
        drawn.add(
            *[
                by
                for by, twin in zip(shifts, twins, strict=True)
                if np.array_equal(one.numpy(), twin)
            ]
        )
    assert drawn == set(shifts)


@pytest.mark.parametrize("shape", [(3, 16, 24), (10,)])
def test_occlusion_replaces_by_the_baseline_all_channels_alike(shape):
    baseline = torch.rand(shape)
    x = torch.rand(2000, *shape) + 2  # never equal to the baseline
    out = loop.occlude(x, baseline, 0.4, torch.Generator().manual_seed(0))
    is_gone = out == baseline
    assert torch.equal(torch.where(is_gone, x, out), x)
    gone = is_gone.flatten(1).float().mean(dim=1)
    # the number of cells that go is uniform on 0..k, because the share of a row is uniform on [0,
    # 1]
    k = 64 if len(shape) == 3 else 10
    assert abs((gone > 0).float().mean() - 0.4 * k / (k + 1)) < 0.04
    assert abs(gone[gone > 0].mean() - (k + 1) / 2 / k) < 0.04
    if len(shape) == 3:
        assert torch.equal(is_gone.all(dim=1), is_gone.any(dim=1))
        cells = is_gone[:, 0].unflatten(2, (8, 3)).unflatten(1, (8, 2)).transpose(2, 3).flatten(3)
        assert torch.equal(cells.all(dim=-1), cells.any(dim=-1))


def test_no_occlusion_by_default():
    assert Training().occluded == 0
    x = torch.rand(5, 4)
    assert torch.equal(loop.occlude(x, torch.zeros(4), 0.0, torch.Generator()), x)


# --- adversarial training
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 5])
def test_an_attack_raises_the_loss_inside_its_ball_and_the_box(steps):
    data = images()
    model = Resnet(width=2, wide=8, training=ZooTraining(**SHORT)).train(data, 1, silent)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, y, box = data.test.x, data.test.y, loop.data_range(data)
    moved = loop.attack(
        model,
        x,
        y,
        kind=Kind.CLASSES,
        radius=0.05,
        steps=steps,
        box=box,
        generator=torch.Generator().manual_seed(0),
    )
    noise = x + 0.05 * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 1)
    assert float((moved - x).abs().max()) <= 0.05 + 1e-6
    assert box[0] <= moved.min() and moved.max() <= box[1]
    losses = [
        float(torch.nn.functional.cross_entropy(model(part), y)) for part in (x, noise, moved)
    ]
    assert losses[2] > max(losses[:2])
    assert not model.training and all(
        torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()
    )


def test_an_attack_on_a_linear_network_goes_to_the_corner_of_its_ball():
    """The gradient's sign is that of the weights' difference everywhere.

    Columns stay within their own ranges.
    """
    data = table()
    model = Mlp(wide=4).build(data).eval()
    weight = torch.tensor([1.0, -2.0, 0.5, 1.0, -1.0, 3.0])
    model.embed = lambda x: torch.stack([x @ weight, -(x @ weight), 0 * x[:, 0], 0 * x[:, 0]], 1)
    model.head.weight.data = torch.eye(2, 4)
    x, low, high = data.train.x, *loop.data_range(data)
    moved = loop.attack(
        model,
        x,
        data.train.y,
        kind=Kind.CLASSES,
        radius=0.3,
        steps=10,
        box=(low, high),
        generator=torch.Generator().manual_seed(0),
    )
    away = torch.where(data.train.y[:, None] == 0, -1.0, 1.0) * weight.sign()
    torch.testing.assert_close(moved, torch.clamp(x + 0.3 * away, low, high))


def strong_and_weak(shape, n=600) -> Dataset:
    """Entry 0 tells the class clearly nine times in ten, all others together tell it always, each by a little."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = (
        0.5
        + 0.1 * torch.randn(n, *shape, generator=generator)
        + 0.06 * (2 * y - 1).view(-1, *[1] * len(shape))
    )
    strong = (y == 1) ^ (torch.rand(n, generator=generator) < 0.1)
    where = (slice(None), 0) if len(shape) == 1 else (slice(None), slice(None), slice(4), slice(4))
    x[where] = torch.where(strong, 1.0, 0.0).view(-1, *[1] * (x[where].ndim - 1))
    half = n // 2
    train = datasets.split(x[:half], y[:half])
    test = datasets.split(x[half:], y[half:], first=half)
    return datasets.dataset(train, test, classes=2, baseline=0.5, name="strong and weak")


@pytest.mark.parametrize("name, shape", [("mlp", (150,)), ("vgg", (1, 16, 16))])
def test_the_adversarially_trained_twin_is_more_robust_to_pgd(name, shape):
    """An attack of 0.15 turns every weak entry, and none of the strong ones."""
    data, radius = strong_and_weak(shape), 0.15
    cls, small = (
        plugins("model")[name].cls,
        {"mlp": {"wide": 16}, "vgg": {"width": 2, "wide": 16}}[name],
    )
    found = {}
    for adversarial in (0.0, radius):
        how = type(cls().training)(
            epochs=12, batch_size=20, occluded=0.0, adversarial=adversarial, learning_rate=0.01
        )
        model = cls(**small, training=replace(how, shift=0)).train(data, 1, silent)
        x, y, box = data.test.x, data.test.y, loop.data_range(data)
        moved = loop.attack(
            model,
            x,
            y,
            kind=Kind.CLASSES,
            radius=radius,
            steps=10,
            box=box,
            generator=torch.Generator().manual_seed(0),
        )
        found[adversarial] = loop.accuracy(model, x, y), loop.accuracy(model, moved, y)
    assert found[0.0][0] > 0.85 and found[0.0][1] < 0.5
    assert found[radius][1] > 0.75


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({}, "trained with occluded inputs"),
        ({"occluded": 0.0}, "trained without occluded inputs"),
        ({"adversarial": 0.1}, "trained with occluded inputs, adversarially"),
    ],
)
def test_a_network_says_how_it_is_trained(training, words):
    assert Mlp(training=MlpTraining(**training)).regime == words
