"""Pictures of one method, for a notebook."""

import numpy as np

from gpex_bench import plots
from gpex_bench.plots.overlays import visible


def test_images_in_the_unit_interval_stay_and_others_are_scaled():
    image = np.random.default_rng(0).random((3, 4, 4))
    assert np.array_equal(visible(image), image)
    moved = visible(5 * image - 2)
    assert moved.min() == 0 and moved.max() == 1
    assert np.allclose(moved, (image - image.min()) / (image.max() - image.min()))
    assert (visible(np.full((1, 2, 2), -3.0)) == 0.5).all()
    assert visible(np.zeros((5, 2, 2))).shape == (1, 2, 2)


def test_maps_are_over_their_images_with_the_channels_summed():
    inputs = np.zeros((2, 3, 4, 4))
    maps = np.zeros((2, 3, 4, 4))
    maps[0, :, 1, 2] = (1, 2, 3)
    maps[1, :, 0, 0] = (-1, 0, 0)
    drawing = plots.overlays(inputs, maps, ["cat", "dog"], "mine")
    assert drawing.alt == "2 images (cat, dog), each with the relevance by mine over it."
    strong = drawing.data[drawing.data["relevance"] != 0]
    assert strong.values.tolist() == [[0, 1, 2, 6], [1, 0, 0, -1]]
    # image and map of each input, and the scale
    assert len(drawing.figure.axes) == 5
    shown = drawing.figure.axes[2].images[0].get_array()
    assert shown[1, 2, 0] > shown[1, 2, 2]  # red


def test_bars_are_the_strongest_columns_first():
    maps = np.arange(24.0).reshape(2, 12) * np.where(np.arange(12) % 2, -1, 1)
    names = [f"c{place}" for place in range(12)]
    drawing = plots.bars([["1"] * 12] * 2, maps, names, ["a", "b"], "mine")
    axes = drawing.figure.axes[0]
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == sorted(maps[0], key=lambda value: -abs(value))[:10]
    assert axes.get_yticklabels()[0].get_text() == "c11 = 1"
    assert axes.yaxis_inverted()
    assert len({tuple(patch.get_facecolor()) for patch in axes.patches}) == 2


def test_examples_have_their_captions():
    near = np.random.default_rng(0).random((1, 2, 3, 4, 4))
    drawing = plots.examples(np.zeros((1, 3, 4, 4)), near, ["cat"], [["dog\n0.5", "cat\n0.4"]], "k")
    titles = [axes.get_title() for axes in drawing.figure.axes]
    assert titles == ["cat", "dog\n0.5", "cat\n0.4"]
    assert np.array_equal(
        drawing.figure.axes[1].images[0].get_array(), np.moveaxis(near[0, 0], 0, 2)
    )
