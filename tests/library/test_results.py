"""What the library gives: how it looks, how it is saved, and the lists of what there is."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from matplotlib import image
from torch import nn

import gpex_bench as gb
from gpex_bench.plugins.registry import plugins
from tests.library.conftest import mlp, seeded


def pictures_in(html):
    """Return the pictures in a page, each with its alternative text."""
    found = re.findall(r'<img [^>]*alt="([^"]*)" src="data:image/png;base64,([^"]+)">', html)
    return [(alt, image.imread(io.BytesIO(base64.b64decode(data)))) for alt, data in found]


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_saved_maps_are_read_by_precomputed(on_table, table, tmp_path, ending):
    """They score as the maps themselves, also for other samples in another order."""
    rows = gb.Split(x=table.test.x[:5], y=table.test.y[:5], sample=table.test.sample[:5])
    maps = gb.explain(on_table, rows, "lrp", data=table)
    path = tmp_path / f"maps{ending}"
    maps.save(path)

    order = torch.tensor([3, 0])
    few = gb.Split(x=rows.x[order], y=rows.y[order], sample=rows.sample[order])
    stored = gb.explain(on_table, few, "precomputed", file=str(path), data=table)
    assert stored.values.equal(maps.values[order])
    assert stored.residual.equal(maps.residual[order])

    scores = gb.score(on_table, few, stored, ["srg", "max_sensitivity"], data=table)
    srg = gb.score(on_table, rows, maps, "srg", data=table).set_index("sample")["score"]
    assert scores[scores["metric"] == "srg"]["score"].tolist() == srg[few.sample.tolist()].tolist()
    assert set(scores[scores["metric"] == "max_sensitivity"]["status"]) == {"not_applicable"}


def test_maps_are_saved_under_the_keys_of_the_format(on_images, tmp_path):
    one = gb.explain(on_images, torch.rand(3, 16, 16), "lrp", target=2)
    one.save(tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as arrays:
        assert arrays["values"].shape == (1, 3, 16, 16) and arrays["values"].dtype == np.float32
        assert arrays["target"].tolist() == [2] and arrays["sample"].tolist() == [0]
    with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
        one.save(tmp_path / "one.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz"]


def test_maps_of_images_are_shown_over_them(on_images):
    maps = gb.explain(on_images, torch.rand(9, 3, 16, 16), "lrp")
    (picture,) = pictures_in(maps._repr_html_())
    alt, pixels = picture
    assert alt.startswith("6 images (") and "relevance by lrp" in alt
    assert pixels.shape[0] > 100 and pixels[..., :3].std() > 0.05
    assert "and 3 more inputs" in maps._repr_html_() and "lrp" in repr(maps)
    assert len(maps.plot(2).axes) == 5


def test_maps_of_tables_are_bars_with_names(on_table, table):
    maps = gb.explain(on_table, table.test.x[:5], "lrp", data=table)
    (picture,) = pictures_in(maps._repr_html_())
    assert picture[0].startswith("3 rows (")
    figure = maps.plot(1)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    values = maps.values[0]
    strongest = int(values.abs().argmax())
    assert labels[0].startswith(f"{table.features[strongest]} = ")
    assert figure.axes[0].patches[0].get_width() == pytest.approx(float(values[strongest]))


def test_columns_of_a_group_are_one_bar():
    x = torch.randn(20, 4)
    data = gb.arrays(
        x[:15], x[:15, 0], x[15:], x[15:, 0], kind="number", groups=[(1, 2)], features=list("abcd")
    )
    maps = gb.explain(seeded(lambda: mlp(1, 4)), data.test.x[0], "lrp", data=data)
    axes = maps.plot().axes[0]
    assert len(axes.patches) == 3
    widths = sorted(patch.get_width() for patch in axes.patches)
    values = maps.values
    own = [values[0], values[1] + values[2], values[3]]
    assert widths == pytest.approx(sorted(map(float, own)))
    assert maps.frame.shape == (1, 3) and maps.frame.index.tolist() == [int(maps.sample)]
    assert maps.frame.iloc[0].tolist() == pytest.approx(list(map(float, own)))


def test_maps_of_images_are_no_frame(on_images):
    with pytest.raises(ValueError, match="Maps of images are no frame"):
        gb.explain(on_images, torch.rand(1, 3, 16, 16), "saliency").frame  # noqa: B018


def test_neighbours_are_shown_as_images_or_a_table(on_images, pictures, on_table, table):
    near = gb.explain(on_images, pictures.test.x[:2], "random_examples", data=pictures, k=3)
    ((alt, _),) = pictures_in(near._repr_html_())
    assert alt == "2 images, each with the 3 training samples that explain it by random_examples."
    assert near.frame["training_row"].tolist() == near.index.flatten().tolist()
    samples = pictures.train.sample[near.index.flatten()]
    assert near.frame["training_sample"].tolist() == samples.tolist()
    assert near.frame["rank"].tolist() == [1, 2, 3] * 2
    assert (
        near.frame["training_target"].iloc[0]
        == pictures.classes[int(pictures.train.y[near.index[0, 0]])]
    )

    rows = gb.explain(on_table, table.test.x[0], "random_examples", data=table, k=3)
    assert rows.index.shape == rows.weight.shape == (3,) and len(rows.frame) == 3
    assert "<table" in rows._repr_html_()
    with pytest.raises(ValueError, match="no picture"):
        rows.plot()


def test_names_are_escaped(table):
    network = gb.wrap(seeded(mlp), classes=["<b>", "a & b", "c"])
    maps = gb.explain(network, table.test.x[:1], "lrp", target="<b>")
    assert "<b>" not in re.sub(r"src=.*", "", maps._repr_html_())


# --- networks -----------------------------------------------------------------------------------


def test_a_network_says_what_was_found(on_images):
    network = gb.wrap(on_images)
    assert network.found is None and "not looked at yet" in repr(network)
    gb.explain(network, torch.rand(1, 3, 16, 16), "saliency")
    assert (network.found.head, network.found.features) == ("7", "4")
    text = repr(network)
    assert "head: 7 (8 → 3)" in text and "Sequential" in text
    assert "head: 7 (8 → 3)" in network._repr_html_()
    with pytest.raises(ValueError, match="not looked at yet"):
        gb.wrap(on_images).model()


def test_a_network_is_normalised_as_part_of_itself(on_images):
    x = torch.rand(2, 3, 16, 16)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
    network = gb.wrap(on_images, x, normalise={"mean": mean, "std": std})
    maps = gb.explain(network, x, "gradient_x_input", target=0)

    inner = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    plain = gb.explain(on_images, inner, "saliency", target=0)
    size = maps.values.abs() / x * torch.tensor(std)[:, None, None]
    assert torch.allclose(size, plain.values, atol=1e-5)


def test_wrapping_refuses_what_does_not_fit(on_table, table):
    with pytest.raises(
        ValueError, match="kind must be one of classes, labels, number, got 'class'"
    ):
        gb.wrap(on_table, kind="class")
    with pytest.raises(ValueError, match="classes must name 3 outputs, got 2"):
        gb.wrap(on_table, torch.ones(1, 6), classes=["a", "b"])
    with pytest.raises(ValueError, match="classes must differ"):
        gb.wrap(on_table, classes=["a", "a", "b"])
    with pytest.raises(ValueError, match="kind must be that of the data, classes, got number"):
        gb.wrap(on_table, data=table, kind="number")
    with pytest.raises(ValueError, match="head must name an nn.Linear"):
        gb.wrap(on_table, torch.ones(1, 6), head="fc")
    assert gb.wrap(on_table, data=table).classes == ("low", "middle", "high")


def test_the_one_logit_of_two_classes(table):
    network = gb.wrap(seeded(lambda: mlp(1)), table.test.x, classes=["no", "yes"])
    maps = gb.explain(network, table.test.x[:2], "lrp")
    assert maps.target.tolist() == [0, 0] and "yes" in maps.plot().axes[0].get_title()
    scores = gb.score(network, table.test.x[:2], maps, ["srg", "infidelity"])
    assert set(scores["status"]) == {"ok"}


def test_labels_and_numbers(table):
    x = table.test.x[:2]
    for kind, n_outputs, n_fine in (("labels", 4, 2), ("number", 1, 1)):
        network = gb.wrap(seeded(lambda n=n_outputs: mlp(n)), x, kind=kind)
        maps = gb.explain(network, x, "lrp")
        scores = gb.score(network, x, maps, ["srg", "infidelity"])
        assert (scores["status"] == "ok").sum() == 2 * n_fine, kind


def test_a_network_of_images_of_any_channels():
    network = nn.Sequential(nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    maps = gb.explain(network, torch.randn(2, 5, 8, 8), "lrp")
    assert pictures_in(maps._repr_html_())


# --- lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["method", "metric", "surrogate", "dataset", "model"])
def test_lists_have_every_plug_in(kind):
    frame = getattr(gb, f"list_{kind}s")()
    assert frame["name"].tolist() == list(plugins(kind))
    usable = frame[frame["usable"]]
    assert (usable["what it is"] != "").all() and (frame[~frame["usable"]]["reason"] != "").all()


def test_lists_say_what_is_needed():
    methods = gb.list_methods().set_index("name")
    assert "training samples" in methods.loc["expected_gradients", "needs"]
    assert methods.loc["lrp", "hyperparameters"].startswith("composite='epsilon_plus'")
    metrics = gb.list_metrics().set_index("name")
    assert metrics.loc["srg", "better"] == "higher"
    assert metrics.loc["max_sensitivity", "explains again"] == "yes"


def test_arguments_of_explain_are_no_settings_of_a_method():
    """A setting of such a name could not be said."""
    import dataclasses
    import inspect

    taken = set(inspect.signature(gb.explain).parameters) - {"settings", "surrogate"}
    for name, plugin in plugins("method").items():
        own = {field.name for field in dataclasses.fields(plugin.cls)}
        assert not own & taken, name
