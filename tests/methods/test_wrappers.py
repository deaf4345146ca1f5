"""Wrappers: what each does to a known map, and what they leave to the explainer inside."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from gpex_bench.contract import toys
from gpex_bench.types import Attribution, Explainer, Need, settings

MAPS = ("squared", "absolute", "channel_summed", "smoothed", "resized")
NAMES = (*MAPS, "inverted", "translation_averaged", "reseeded")


@settings
class Map(Explainer):
    """The input itself as a map, with a residual."""

    reference, kind = "key", "gradient"
    relative_to = "nothing"

    def explain(self, task, query):
        return Attribution(values=query.x.clone(), residual=torch.full((len(query.x),), 0.5))


@settings
class Picky(Explainer):
    """An explainer that needs much."""

    reference, kind = "key", "control"
    relative_to = "nothing"
    needs = frozenset({Need.TRUTH})
    surrogate: str | None = "gpex_2"

    def explain(self, task, query):
        return Attribution(values=query.x)


@pytest.fixture
def changed(formula, task, query, method):
    """The map that a wrapper makes of images."""

    def change(name, x, **parameters):
        asked = task(formula(lambda x: x.flatten(1), x[0].numel()), x)
        return method(name, of=Map(), **parameters).explain(asked, query(x))

    return change


def test_signs(changed, normal):
    x = normal(3, 2, 6, 5)
    assert torch.equal(changed("inverted", x).values, -x)
    assert torch.equal(changed("squared", x).values, x * x)
    assert torch.equal(changed("absolute", x).values, torch.where(x < 0, -x, x))


def test_squared_gradient_is_sensitivity(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        sensitivity = method("sensitivity").explain(asked, wanted).values
        for inner in ("saliency", "smoothgrad"):
            of = method(inner, **({"noise": 0.0, "budget": 1} if inner == "smoothgrad" else {}))
            values = method("squared", of=of).explain(asked, wanted).values
            torch.testing.assert_close(values, sensitivity)


def test_channels_share_their_sum(changed, normal):
    x = normal(3, 3, 6, 5)
    values = changed("channel_summed", x).values
    torch.testing.assert_close(values.sum(1), x.sum(1))
    assert torch.equal(values[:, 0], values[:, 2])


def test_blur_is_scipys_away_from_the_border(changed, normal):
    x = torch.zeros(2, 1, 31, 33)
    x[:, :, 11:20, 11:22] = normal(2, 1, 9, 11)
    values = changed("smoothed", x, width=1.5).values
    for row in range(2):
        expected = ndimage.gaussian_filter(x[row, 0].double().numpy(), 1.5, truncate=7)
        np.testing.assert_allclose(values[row, 0].numpy(), expected, atol=1e-6)


def test_blur_of_nothing_and_of_everything(changed, normal):
    x = normal(2, 3, 6, 5)
    torch.testing.assert_close(changed("smoothed", x, width=0.05).values, x)
    everything = x.mean((2, 3), keepdim=True).expand_as(x)
    torch.testing.assert_close(
        changed("smoothed", x, width=1e4).values, everything, atol=1e-6, rtol=1e-5
    )


def test_cells_are_averaged(changed, normal):
    x = normal(2, 3, 12, 8)
    expected = x.view(2, 3, 4, 3, 4, 2).mean((3, 5)).repeat_interleave(3, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(changed("resized", x, grid=4).values, expected)
    values = changed("resized", normal(1, 1, 7, 5), grid=3).values[
        0, 0
    ]  # rows 0-2, 3-4, 5-6; columns 0-1, 2-3, 4
    assert len(values.unique()) == 9
    assert torch.equal(values[0], values[2])
    assert not torch.isclose(values[2, 0], values[3, 0])


@pytest.mark.parametrize("name", ["channel_summed", "smoothed", "resized"])
def test_sum_and_residual_stay(changed, normal, name):
    x = normal(3, 2, 9, 7)
    found = changed(name, x, **({"grid": 4} if name == "resized" else {}))
    torch.testing.assert_close(
        found.values.flatten(1).sum(1), x.flatten(1).sum(1), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(found.residual, torch.full((3,), 0.5))


@pytest.mark.parametrize("name", ["squared", "absolute", "inverted", "translation_averaged"])
def test_residual_goes_with_the_sum(changed, normal, name):
    assert changed(name, normal(2, 1, 9, 7)).residual is None


# --- another seed -------------------------------------------------------------------------------


def test_another_seed_changes_what_is_drawn_and_nothing_else(formula, task, query, method, normal):
    x = normal(3, 1, 9, 9)
    asked = task(formula(lambda x: x.flatten(1), 81), x)
    inner = method("random_map")
    draws = [inner, *(method("reseeded", of=inner, draw=draw) for draw in (1, 2))]
    maps = torch.stack([one.explain(asked, query(x)).values.flatten() for one in draws])
    assert np.abs(np.corrcoef(maps.numpy()) - np.eye(3)).max() < 0.3  # 243 numbers: 4.6 s.d.
    other = task(formula(lambda x: x.flatten(1), 81), x)
    other = dataclasses.replace(other, seed=asked.seed + 1)
    assert not torch.equal(draws[1].explain(other, query(x)).values.flatten(), maps[1])
    assert torch.equal(draws[1].explain(asked, query(x)).values.flatten(), maps[1])
    plain = method("gradient_x_input")
    again = method("reseeded", of=plain, draw=1).explain(asked, query(x)).values
    assert torch.equal(again, plain.explain(asked, query(x)).values)
    assert method("reseeded", of=Map()).explain(asked, query(x)).residual is not None


# --- translation --------------------------------------------------------------------------------


def test_maps_that_move_with_the_image_stay_inside(changed, normal):
    """The input as a map is shifted there and back.

    Pixels that no shift loses are what they were.
    """
    x = normal(2, 3, 12, 10)
    values = changed("translation_averaged", x, reach=2, step=1).values
    torch.testing.assert_close(values[:, :, 2:-2, 2:-2], x[:, :, 2:-2, 2:-2])
    torch.testing.assert_close(
        values[:, :, 0, 5], x[:, :, 0, 5] * 3 / 5
    )  # the shifts up lose the first row


def test_no_shift_is_the_other_method(changed, normal):
    x = normal(2, 3, 6, 5)
    assert torch.equal(changed("translation_averaged", x, reach=0, step=1).values, x)


def test_maps_are_averaged_over_shifts(formula, task, query, method, normal):
    """The gradient at a place p of sum_p w_p x_p^2 is 2 w_p x_p: shifted back, the weights are
    averaged round p.
    """
    weight, x = normal(1, 9, 9), normal(2, 1, 9, 9, seed=1)
    asked = task(formula(lambda x: (weight * x.square()).flatten(1).sum(1, keepdim=True), 1), x)
    found = method("translation_averaged", of=method("gradient_x_input"), reach=1, step=1).explain(
        asked, query(x)
    )
    near = torch.nn.functional.avg_pool2d(weight[None], 3, stride=1)
    torch.testing.assert_close(
        found.values[:, :, 1:-1, 1:-1], 2 * x.square()[:, :, 1:-1, 1:-1] * near
    )


def test_what_comes_into_the_image_is_the_baseline(formula, task, query, method):
    """With a baseline of 1, a shifted image of ones is the image."""
    x = torch.ones(1, 1, 6, 6)
    seen = []
    model = formula(lambda x: seen.append(x.detach().clone()) or x.flatten(1), 36)
    asked = task(model, x, baseline=torch.ones(1, 6, 6))
    method("translation_averaged", of=method("gradient_x_input"), reach=2).explain(asked, query(x))
    assert len(seen) == 9
    assert all(torch.equal(image, x) for image in seen)


# --- what a wrapper says of itself --------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_wrapper_needs_what_the_other_needs(method, name):
    wrapper = method(name, of=Picky())
    own = (
        {Need.IMAGE}
        if name in ("channel_summed", "smoothed", "resized", "translation_averaged")
        else set()
    )
    assert wrapper.needs == {Need.TRUTH} | own
    assert wrapper.surrogate == "gpex_2"
    assert wrapper == method(name, of=Picky())


@pytest.mark.parametrize("name", NAMES)
def test_wrapper_is_of_the_kind_of_the_other(method, name):
    assert method(name, of=Picky()).kind == "control"
    assert method(name, of=Map()).kind == ("control" if name == "inverted" else "gradient")


@pytest.mark.parametrize("name", NAMES)
def test_examples_cannot_be_wrapped(method, name):
    with pytest.raises(
        ValueError,
        match="of must be an explainer that gives attributions; RandomExamples gives Exam",
    ):
        method(name, of=method("random_examples"))


def test_an_explainer_that_lies_is_found_out(formula, task, query, method, normal):
    class Liar(Map):
        def explain(self, task, query):
            return query.x

    x = normal(1, 1, 9, 9)
    for name in NAMES:
        with pytest.raises(TypeError, match="of must return an Attribution, got Tensor"):
            method(name, of=Liar()).explain(task(formula(lambda x: x.flatten(1), 81), x), query(x))


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("smoothed", {"width": 0.0}, "width must be positive, got 0"),
        ("reseeded", {"draw": 0}, "draw must be at least 1 .0 is the explainer by itself., got 0"),
        ("resized", {"grid": 0}, "grid must be at least 1, got 0"),
        (
            "translation_averaged",
            {"reach": 3},
            "step must be at least 1 and divide reach, got step 2 and reach 3",
        ),
    ],
)
def test_impossible_settings_are_refused(method, name, parameters, message):
    with pytest.raises(ValueError, match=message):
        method(name, of=Map(), **parameters)


def test_images_that_are_too_small_are_refused(changed, normal):
    with pytest.raises(ValueError, match="grid must be at most the image's shorter side 5, got 7"):
        changed("resized", normal(1, 1, 6, 5))
    with pytest.raises(
        ValueError, match="reach must be smaller than the 4 pixels of an image's side, got 4"
    ):
        changed("translation_averaged", normal(1, 1, 4, 5))


@pytest.mark.parametrize("name", ["absolute", "inverted", "reseeded", "on_random_network"])
def test_wrappers_compare_with_what_the_other_map_compares_with(method, name):
    for relative_to in ("baseline", "zero"):
        of = method("gradient_x_input", relative_to=relative_to)
        assert method(name, of=of).relative_to == relative_to
    blurred = method("occlusion", fill="blur")
    assert method("absolute", of=method(name, of=blurred)).relative_to == "blur"
