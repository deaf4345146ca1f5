"""Out-of-distribution items: what is changed, what is kept, and that the seed decides."""

import pytest
import torch

from gpex_bench.surrogates.agreement.items import permuted, shuffled, unfamiliar


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=9, shape=(2, 8, 12)):
    return (
        torch.rand(n, *shape, generator=generator(7)) * torch.tensor([1.0, 5.0])[:, None, None] - 1
    )


def test_a_third_is_inverted_shuffled_and_noisy():
    x, train = images(), images(20)
    found = unfamiliar(x, train, generator())
    low, high = train.amin((0, 2, 3), keepdim=True), train.amax((0, 2, 3), keepdim=True)
    torch.testing.assert_close(found[0::3] + x[0::3], (low + high).expand(3, 2, 8, 12))
    assert torch.equal(found[1::3].flatten(2).sort().values, x[1::3].flatten(2).sort().values)
    assert not torch.equal(found[1::3], x[1::3])
    noise = 2 * found[2::3] - x[2::3]
    assert (noise >= low - 1e-5).all() and (noise <= high + 1e-5).all()
    for channel in (0, 1):
        r = torch.corrcoef(
            torch.stack([noise[:, channel].flatten(), x[2::3][:, channel].flatten()])
        )[0, 1]
        assert abs(r) < 0.25


def test_items_stay_in_the_range_of_the_training_samples():
    x = images()
    found = unfamiliar(x, x, generator())
    low, high = x.amin((0, 2, 3), keepdim=True) - 1e-5, x.amax((0, 2, 3), keepdim=True) + 1e-5
    assert ((found >= low) & (found <= high)).all()


@pytest.mark.parametrize(
    ("shape", "part"), [((1, 8, 8), (2, 2)), ((1, 9, 4), (3, 1)), ((1, 5, 7), (1, 1))]
)
def test_shuffled_parts_are_whole_and_channels_stay_together(shape, part):
    x = torch.arange(6 * shape[1] * shape[2]).float().reshape(6, *shape).repeat(1, 2, 1, 1)
    found = shuffled(x, generator())
    assert torch.equal(found[:, 0], found[:, 1])
    height, width = part
    for image, other in zip(x[:, 0], found[:, 0], strict=True):
        before = {tuple(block.flatten().tolist()) for block in blocks(image, height, width)}
        after = {tuple(block.flatten().tolist()) for block in blocks(other, height, width)}
        assert before == after
    orders = {
        tuple((other[0] - image[0].min()).flatten().tolist())
        for image, other in zip(x, found, strict=True)
    }
    assert len(orders) == 6  # another order for each image


def blocks(image, height, width):
    return [part for band in image.split(height, 0) for part in band.split(width, 1)]


def test_columns_of_a_table_are_permuted_on_their_own():
    x = torch.randn(400, 3, generator=generator(2))
    x[:, 1] = x[:, 0]
    found = unfamiliar(x, x, generator())
    assert torch.equal(found.sort(0).values, x.sort(0).values)
    assert abs(torch.corrcoef(found.T)[0, 1]) < 0.2
    assert torch.equal(found, permuted(x, generator()))


def test_the_seed_decides():
    for x in (images(), torch.randn(9, 4, generator=generator(3))):
        one, again, other = (unfamiliar(x, x, generator(seed)) for seed in (0, 0, 1))
        assert torch.equal(one, again) and not torch.equal(one, other)
