"""Figures: same bytes twice and in any order, no number for a failed cell, a fair scale, and messages."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from functools import cache

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gpex_bench import plots
from gpex_bench.plots import maps, removal
from gpex_bench.plots.compact import compact
from gpex_bench.plots.neighbours import overlaid
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary, outcome_table, summarise
from gpex_bench.tables.order import control_ids
from tests.vocabulary import frames as synthetic
from tests.vocabulary import headline

METHODS, METRICS = synthetic.methods(), synthetic.metrics()
CONTROLS = control_ids(METHODS)


@cache
def outcomes() -> pd.DataFrame:
    up = {record["metric"]: record["higher_is_better"] for record in METRICS}
    all_scores = synthetic.scores(12)
    summary = summarise(all_scores[all_scores["dataset"] == "shapes"], up, CONTROLS)
    cells = synthetic.cells().query("dataset == 'shapes'")
    return outcome_table(summary, cells, synthetic.skipped().query("dataset == 'shapes'"))


@cache
def curves() -> pd.DataFrame:
    return synthetic.curves(5).query("dataset == 'shapes'")


@cache
def compared() -> tuple[pd.DataFrame, pd.DataFrame]:
    """All surrogates of one network on all splits."""
    predictions = synthetic.predictions(80, 2, tuple(synthetic.SURROGATES)).query(
        "dataset == 'shapes'"
    )
    return predictions, agreement_summary(synthetic.agreement(predictions))


def matched() -> tuple[pd.DataFrame, pd.DataFrame]:
    """One of them on the test items."""
    predictions, agreement = (
        frame.query("surrogate == 'gpex' and split == 'test'") for frame in compared()
    )
    return predictions, agreement


def looks() -> plots.Looks:
    rng = np.random.default_rng(0)
    network, error = rng.normal(-2, 2, (3, 4, 5)), rng.normal(0, 0.3, (3, 4, 5))
    images = rng.uniform(size=(3, 1, 28, 28))
    return plots.Looks(
        name="x",
        images=images,
        labels=["a", "b", "c"],
        network=network,
        mean=network + error,
        r=[0.9, 0.8, 0.7],
    )


def cost() -> pd.DataFrame:
    return cost_summary(synthetic.cells(), outcomes(), "srg", True, CONTROLS)


@cache
def headline_rows() -> pd.DataFrame:
    """The headline table of one network."""
    return headline.frames(outcomes(), METHODS, "srg")["headline"]


def contrasts() -> list[plots.Contrast]:
    """Two networks, one with fewer maps than the other."""
    rng = np.random.default_rng(0)
    rows = []
    for name, names in (("x", ("lime", "lrp")), ("y", ("lime",))):
        image = rng.uniform(size=(1, 8, 8))
        examples = [
            plots.Example(why="best", method=one, values=rng.normal(size=(1, 8, 8)))
            for one in names
        ]
        rows.append(plots.Contrast(name=name, label="a", image=image, examples=examples))
    return rows


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=7)


DRAW = {
    "removal": lambda mix: plots.removal_curves(mix(curves()), METHODS),
    "scatter": lambda mix: plots.agreement_scatter(mix(matched()[0]), mix(matched()[1])),
    "heads": lambda mix: plots.agreement_heads(mix(compared()[1])),
    "calibration": lambda mix: plots.calibration(mix(compared()[0]), ["last_layer", "gpex", "knn"]),
    "attention": lambda mix: plots.attention_maps(looks()),
    "cost": lambda mix: plots.cost_against_score(mix(cost()), True),
    "dots": lambda mix: plots.headline_dots(mix(headline_rows()), ["lime", "random_map"], "srg"),
    "contrast": lambda mix: plots.contrast(contrasts()),
    "gallery": lambda mix: plots.gallery(plots.Gallery(**synthetic.gallery("mnist5k", 2))),
    "table_gallery": lambda mix: plots.table_gallery(
        plots.Gallery(**synthetic.gallery("breast_cancer", 2))
    ),
    "sheet": lambda mix: plots.neighbour_sheet(
        [plots.Sheet(**one) for one in synthetic.sheets("shapes", 2, 3, True)], "x"
    ),
    "table_sheet": lambda mix: plots.neighbour_sheet(
        [plots.Sheet(**one) for one in synthetic.sheets("breast_cancer", 2, 3)], "x"
    ),
}


@cache
def svg(name: str) -> str:
    return plots.to_svg(DRAW[name](lambda frame: frame), name)


@pytest.mark.parametrize("name", DRAW)
def test_same_bytes_twice_and_in_any_order(name: str) -> None:
    assert plots.to_svg(DRAW[name](shuffled), name) == svg(name)


@pytest.mark.parametrize("name", DRAW)
def test_svg_stands_alone_and_says_what_it_shows(name: str) -> None:
    root = ElementTree.fromstring(svg(name))
    title, alt = root[0].text, root[1].text
    assert title and alt and len(alt) > 40
    ids = re.findall(r'\bid="([^"]*)"', svg(name))
    assert len(ids) == len(set(ids)) and all(one.startswith(f"{name}-") for one in ids)
    used = re.findall(r'(?:href="|url\()#([^")]*)', svg(name))
    assert set(used) <= set(ids)
    links = set(re.findall(r"https?://[^\"' <]*", svg(name)))
    assert links <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "202" not in re.sub(r'base64,[^"]*|[\d.]*202[\d.]*', "", svg(name))


def test_png_is_the_same_twice() -> None:
    drawing = DRAW["cost"](lambda frame: frame)
    assert (
        plots.to_png(drawing, 50)
        == plots.to_png(drawing, 50)
        == plots.to_png(DRAW["cost"](shuffled), 50)
    )


def test_global_style_is_left_alone() -> None:
    before = dict(mpl.rcParams)
    plots.to_svg(DRAW["cost"](lambda frame: frame), "x")
    assert dict(mpl.rcParams) == before


def test_data_of_a_figure_are_the_numbers_in_it() -> None:
    gallery = plots.Gallery(**synthetic.gallery("mnist5k", 2))
    data = plots.gallery(gallery).data
    assert len(data) == 2 * 28 * 28 * len(gallery.maps)
    one = data[
        (data["method"] == "lime")
        & (data["input"] == 1)
        & (data["row"] == 3)
        & (data["column"] == 4)
    ]
    assert one["relevance"].item() == pytest.approx(gallery.maps["lime"][1, :, 3, 4].sum())


def test_large_maps_are_averaged_over_blocks():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, 3, 224, 224)).astype("float32")
    inputs = generator.random((2, 3, 224, 224)).astype("float32")
    gallery = plots.Gallery(
        name="photographs (net)",
        inputs=inputs,
        predicted=["tabby", "espresso"],
        true=["tabby", "espresso"],
        maps={"lrp": values},
    )
    drawn = plots.gallery(gallery)
    assert len(drawn.data) == 2 * 56 * 56
    one = drawn.data.query("input == 1 and row == 3 and column == 5")["relevance"].item()
    assert one == pytest.approx(values[1, :, 12:16, 20:24].sum(0).mean(), rel=1e-5)

    shown, block = maps.pooled(values.sum(1), maps.SIDE_SHOWN)
    assert (shown.shape, block) == ((2, 112, 112), 2)
    texts = [axes.get_xlabel() for axes in drawn.figure.axes]
    assert any("2 x 2 pixels" in text for text in texts)


@pytest.mark.parametrize("side", [57, 113, 225])
def test_blocks_at_the_border_are_averages_of_what_is_there(side):
    ones = np.ones((1, side, 40))
    found, block = maps.pooled(ones, 56)
    assert found.shape[1] <= 56 and block == -(-side // 56)
    assert np.array_equal(found, np.ones_like(found))
    small = np.arange(56.0 * 56).reshape(1, 56, 56)
    assert maps.pooled(small, 56)[0] is small


def test_area_of_a_curve_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "order": ["most_first"] * 2 + ["least_first"] * 2,
            "fraction": [0.0, 1.0] * 2,
            "mean": [1.0, 0.0, 1.0, 0.5],
        }
    )
    assert removal.area(frame) == pytest.approx(0.25)


def test_heads_of_a_constant_output_are_undefined() -> None:
    predictions, agreement = (frame.copy() for frame in matched())
    for heads in (["star"], synthetic.HEADS["shapes"]):
        agreement.loc[agreement["head"].isin(heads), ["mean", "low", "high"]] = np.nan
        agreement.loc[agreement["head"].isin(heads), "is_weakest"] = False
        texts = [plots.to_svg(plots.agreement_scatter(predictions, agreement), "x")]
        texts.append(plots.to_svg(plots.agreement_heads(agreement), "y"))
        assert texts[0].count("network constant: r undefined") >= len(heads)
        assert texts[1].count(">undefined<") == (len(heads) > 1)
        assert not any(re.search(r"\bnan\b", text) for text in texts)


def test_every_head_of_every_surrogate_is_drawn_and_the_weakest_is_named() -> None:
    agreement = compared()[1]
    drawing = plots.agreement_heads(agreement)
    assert [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()] == [
        "last_layer",
        "gpex",
        "knn",
    ]
    for axes, split in zip(drawing.figure.axes, ("test", "mixed", "ood"), strict=True):
        dots = [dots.get_offsets() for dots in axes.collections]
        assert [len(one) for one in dots] == [6, 1] * 3
        part = agreement.query(
            f"split == '{split}' and statistic == 'r2' and head != 'all' and surrogate == 'knn'"
        )
        np.testing.assert_allclose(np.sort(dots[4][:, 0]), np.sort(1 - part["mean"]))
        assert dots[5][0, 0] == pytest.approx((1 - part["mean"]).max())
        assert part.loc[part["mean"].idxmin(), "head"] in axes.texts[2].get_text()


def test_coverage_and_error_against_doubt_by_hand() -> None:
    predictions = compared()[0].query("split == 'test' and surrogate == 'gpex'")
    drawing = plots.calibration(predictions, ["gpex"])
    data = drawing.data
    at = data[(data["what"] == "coverage") & np.isclose(data["x"], 0.9)]
    inside = (predictions["mean"] - predictions["network"]).abs() <= 1.6448536 * predictions[
        "variance"
    ] ** 0.5
    assert (
        at["y"].item() == pytest.approx(inside.mean())
        and f"gpex {inside.mean():.2f} on test items" in drawing.alt
    )
    errors = data[data["what"] == "error"]
    assert len(errors) == 10 and errors["x"].is_monotonic_increasing
    assert (
        np.corrcoef(np.log(errors["x"]), np.log(errors["y"]))[0, 1] > 0.9
    )  # the variance is right here
    with pytest.raises(ValueError, match="at most 10 surrogates, got 11"):
        plots.calibration(predictions, [str(name) for name in range(11)])


def test_attention_maps_share_one_scale_and_say_the_difference() -> None:
    drawing = plots.attention_maps(looks())
    maps = [image for axes in drawing.figure.axes[:12] for image in axes.images]
    scales = {
        (image.norm.vmin, image.norm.vmax)
        for place, image in enumerate(maps)
        if place % 4 in (1, 2)
    }
    assert len(scales) == 1
    np.testing.assert_allclose(maps[3].get_array(), looks().mean[0] - looks().network[0])
    assert len(drawing.data) == 3 * 4 * 5 and drawing.data["column"].max() == 5
    fields = {name: getattr(looks(), name) for name in ("name", "images", "labels", "network", "r")}
    with pytest.raises(
        ValueError, match=r"same images and places, got 3 images, \(3, 4, 5\) and \(3, 5, 4\)"
    ):
        plots.attention_maps(plots.Looks(**fields, mean=np.zeros((3, 5, 4))))


def test_heads_of_a_map_keep_their_places() -> None:
    heads = [f"row {row}, column {column}" for row in range(1, 4) for column in range(1, 12)]
    part = matched()[0].query("head == 'cross'")
    predictions = pd.concat([part.assign(head=head) for head in heads])
    place = predictions["head"].str.extract(r"row (?P<row>\d+), column (?P<column>\d+)")
    predictions = predictions.assign(**place.astype("Int64"))
    agreement = matched()[1].query("head == 'cross'")
    agreement = pd.concat([agreement.assign(head=head, is_weakest=False) for head in heads])
    drawing = plots.agreement_scatter(predictions, agreement)
    panels = drawing.figure.axes
    assert len(panels) == 33
    titles = [axes.get_title().split("\n")[1] for axes in panels]
    assert titles == heads  # row by row, and column 10 after column 9
    assert len({axes.get_subplotspec().colspan.start for axes in panels}) == 11


def test_similarities_of_one_item_have_the_same_decimals() -> None:
    one = synthetic.sheets("shapes", 1, 3)[0] | {
        "numbers": {"similarity": np.array([0.99996, 0.9994, 0.98])}
    }
    labels = [
        axes.get_xlabel() for axes in plots.neighbour_sheet([plots.Sheet(**one)], "x").figure.axes
    ]
    assert labels[1:] == ["0.99996", "0.99940", "0.98000"]


def test_heat_lies_over_a_pale_picture() -> None:
    """No heat: a grey in [0.8, 1]; full heat: the end of the scale, whatever the picture."""
    image, share = np.random.default_rng(0).uniform(size=(3, 4, 5)), np.zeros((4, 5))
    share[0, 0], share[1, 1] = 1, -1
    drawn = overlaid(image, share)
    assert drawn.shape == (4, 5, 3)
    cold = drawn[share == 0]
    np.testing.assert_allclose(
        cold, 0.8 + 0.2 * np.repeat(image.mean(0)[share == 0][:, None], 3, axis=1)
    )
    (red, _, blue), (red_cold, _, blue_cold) = drawn[0, 0], drawn[1, 1]
    assert red > 2 * blue and blue_cold > 2 * red_cold


def test_a_sheet_has_one_entry_for_each_neighbour_and_column() -> None:
    one = synthetic.sheets("shapes", 1, 3, True)[0]
    with pytest.raises(
        ValueError, match="'similarity' must have one entry for each of the 3 neighbours, got 2"
    ):
        plots.neighbour_sheet([plots.Sheet(**one | {"numbers": {"similarity": np.ones(2)}})], "x")
    row = synthetic.sheets("breast_cancer", 1, 3)[0]
    with pytest.raises(
        ValueError, match="features must name the 6 columns of a table's rows, got 2"
    ):
        plots.neighbour_sheet([plots.Sheet(**row | {"features": ["a", "b"]})], "x")


def test_values_of_a_table_are_written_beside_the_names() -> None:
    fields = synthetic.gallery("breast_cancer", 2)
    n_features = fields["inputs"].shape[1]
    values = [[f"{row}-{column}" for column in range(n_features)] for row in range(2)]
    figure = plots.table_gallery(plots.Gallery(**fields | {"values": values})).figure
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    for label in labels:
        name, value = label.split(" = ")
        places = [
            place
            for place, own in enumerate(fields["features"])
            if name[:9] == own.replace("_", " ")[:9]
        ]
        assert value in {f"1-{place}" for place in places}

    sheet = synthetic.sheets("breast_cancer", 1, 3)[0]
    words = [[f"{place}.{column}" for column in range(6)] for place in range(4)]
    figure = plots.neighbour_sheet([plots.Sheet(**sheet | {"values": words})], "x").figure
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {text for row in words for text in row} <= texts


def test_controls_may_have_any_run_id() -> None:
    names = {"random_map": "noise", "random_examples": "draw"}
    methods = [
        {**record, "method": names.get(record["method"], record["method"])} for record in METHODS
    ]
    drawing = plots.removal_curves(curves().replace({"method": names}), methods)
    assert "random control, both orders" in [
        text.get_text() for text in drawing.figure.legends[0].get_texts()
    ]


def test_names_beside_the_points_do_not_cover_one_another() -> None:
    figure = DRAW["cost"](lambda frame: frame).figure
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    pairs = [(one, other) for place, one in enumerate(boxes) for other in boxes[:place]]
    assert len(boxes) > 8 and not any(one.overlaps(other) for one, other in pairs)


def test_messages_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"cost lacks the columns \['rows_per_sample'\]"):
        plots.cost_against_score(cost().drop(columns="rows_per_sample"), True)
    two = pd.concat([cost(), cost().assign(dataset="other")])
    with pytest.raises(ValueError, match=r"one dataset and model, got .*'other'"):
        plots.cost_against_score(two, True)
    with pytest.raises(ValueError, match="sheets must hold at least one"):
        plots.neighbour_sheet([], "x")
    fields = synthetic.gallery("mnist5k", 2)
    fields["maps"] = {"lime": np.zeros((1, 1, 28, 28))}
    with pytest.raises(ValueError, match=r"lime must be .* for 2 inputs, got \(1, 1, 28, 28\)"):
        plots.gallery(plots.Gallery(**fields))


def test_a_dollar_in_a_name_is_a_dollar() -> None:
    frame = cost()
    frame["method"] = frame["method"].replace("gpex", "a$b$")
    assert "a$b$" in plots.to_svg(plots.cost_against_score(frame, True), "x")


def test_ids_are_numbers_and_every_reference_is_there():
    text = svg("cost")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert not re.search(r"-[a-z][0-9a-f]{10}\b", text)
    assert {
        target
        for pair in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
        for target in pair
        if target
    } <= set(ids)


def test_a_compact_figure_loses_nothing_that_is_seen() -> None:
    inside = (
        '<g id="a"><path d="M 0.04 1.26 \nL 10.06 -0.04 \n" style="stroke: #000000; fill: none" id="b"/>'
        '<path d="M 0 0 \nL 1 1" style="fill: none"/><g id="c"/></g>'
        '<defs><path id="m" d="M 0 0 \nL 3 3"/></defs><use xlink:href="#m" x="1.06" y="2"/></svg>'
    )
    small = compact(inside)
    assert small == (
        '<path d="M0 1.3L10.1 0" style="stroke:#000000;fill:none"/>'
        '<defs><path id="m" d="M0 0L3 3"/></defs><use xlink:href="#m" x="1.1" y="2"/></svg>'
    )
    for name in ("removal", "cost"):  # every word of a figure is still there
        drawing = DRAW[name](lambda frame: frame)
        words = {text.get_text() for axes in drawing.figure.axes for text in axes.texts}
        shown = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg(name)))
        assert words <= shown and len(shown) > 8


def test_a_picture_gets_a_palette_that_keeps_its_colours() -> None:
    drawn = plots.gallery(plots.Gallery(**synthetic.gallery("shapes", 2)))
    pixels = []
    for text in re.findall(r'data:image/png;base64,([^"]*)"', plots.to_svg(drawn, "x")):
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        assert image.mode == "P" and len(image.getcolors()) <= 32
        pixels.append(np.asarray(image.convert("RGB"), dtype=int))
    shown = drawn.figure.axes[1].images[0]
    exact = (shown.cmap(shown.norm(shown.get_array()))[..., :3] * 255).round()
    assert np.abs(pixels[1] - exact).mean() < 6


def test_large_maps_over_their_images_are_averaged_too():
    values = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype("float32")
    drawn = plots.overlays(np.abs(values) % 1, values, ["tabby"], "lrp")
    assert len(drawn.data) == 112 * 112
    assert drawn.data["relevance"].iloc[-1] == pytest.approx(
        values[0, :, 222:, 222:].sum(0).mean(), rel=1e-5
    )
    assert any("2 x 2 pixels" in axes.get_xlabel() for axes in drawn.figure.axes)


def test_dots_show_intervals_mark_controls_and_who_is_beaten() -> None:
    drawing = plots.headline_dots(headline_rows(), ["lime", "sensitivity", "random_map"], "srg")
    assert set(drawing.data["method"]) == {"lime", "sensitivity", "random_map"}
    (axes,) = [axes for axes in drawing.figure.axes if axes.get_visible()]
    markers = [line.get_marker() for line in axes.lines if len(line.get_xdata()) == 1]
    assert markers.count("X") == 1 and markers.count("o") == 2
    assert "best control random_map" in drawing.alt
