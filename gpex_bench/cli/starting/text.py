"""The text of a first config: what was found, and methods and metrics that suit it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from gpex_bench.cli.starting.data import FoundData
from gpex_bench.cli.starting.networks import FoundNetwork
from gpex_bench.types import Dataset, Kind

TEMPLATE = Path(__file__).with_name("config.yaml.j2")
LARGE = 64  # side of images from which a pass through the network is slow
N_LISTED = 20  # classes for which names are suggested
# Of the line `dataset:`.
WORDS = {
    "arrays": ".npz, .safetensors or a folder of .npy, with x_train, y_train, x_test and y_test",
    "csv": "a table with a line of names",
    "image_folder": "a folder for each class",
}
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # text that YAML takes without quotes
Line = tuple[str, str, str]  # run id, settings, comment


def config_text(
    path: Path,
    data: FoundData | None,
    network: FoundNetwork | None,
    *,
    normalise: Mapping[str, Any] | None = None,
    refused: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a config.

    Args:
        path: where it will be; the run has its name.
        data: what was found; None: a file that the user names later.
        network: what was found; None: one of this suite, or a file that the user names later.
        normalise: mean and std of the network's inputs.
        refused: methods that do not apply to the network, and why.
    """
    known = None if data is None else data.data
    images = data is None or data.plugin != "csv"
    if known is not None:
        images = known.is_image
    network = network or _network(data is None, images)
    side = known.baseline.shape[-1] if known is not None and images else 0

    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    environment.filters["yaml"] = _yaml
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        about=_about(data, network),
        path=path.as_posix(),
        run=path.stem,
        images=images,
        samples=12 if side > LARGE else 24,
        gpex=side <= LARGE,
        data=_placeholder() if data is None else data,
        data_comments=_comments(data),
        words=WORDS,
        network=network,
        normalise=normalise,
        methods=_methods(images, side),
        metrics=_metrics(known),
        refused=refused or {},
    )


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line: plain where that is read as the same text."""
    if isinstance(value, Mapping):
        pairs = [f"{key}: {_yaml(one)}" for key, one in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)

    is_plain = PLAIN.fullmatch(value) is not None and yaml.safe_load(value) == value
    return value if is_plain else json.dumps(value)


def _placeholder() -> Any:
    """Return a dataset that the user names later."""
    return {"run_id": "mine", "plugin": "arrays", "settings": {"file": "my_data.npz"}}


def _network(is_template: bool, images: bool) -> FoundNetwork:
    """Return a network of this suite for some data, or one that the user names later."""
    if is_template:
        return FoundNetwork("network", "my_network.py:Net", weights="my_weights.pt")
    return FoundNetwork("cnn" if images else "mlp", "")


def _about(found: FoundData | None, network: FoundNetwork) -> str:
    """Return what the run is about, for the first line."""
    if found is None:
        return "your network and your data: replace the names of files that begin with my_"
    data = found.data
    whose = network.build or f"a network of this suite ({network.run_id})"
    if data is None:
        return f"{whose} and {found.run_id}"
    n_test = len(data.test.x)
    shape = " x ".join(map(str, data.baseline.shape))
    form = "images" if data.is_image else "columns"
    return f"{whose} and {n_test} test rows of {shape} {form}"


def _comments(data: FoundData | None) -> list[str]:
    """Return what a user may want to add to the dataset."""
    if data is None:
        return [
            "classes: [cat, dog] # names, in the order of y; kind: number for a regression",
            "a table with names:    {dataset: csv, file: my_table.csv, target: my_column}",
            "a folder a class:      {dataset: image_folder, folder: my_images}",
        ]
    found = list(data.notes)
    if data.data is None:
        return [*found, f"to be mended: {data.problem}"]
    if data.needs_names and data.plugin == "arrays":
        n_classes = len(data.data.classes)
        names = ", ".join(f"class_{number}" for number in range(min(n_classes, N_LISTED)))
        more = ", ..." if n_classes > N_LISTED else ""
        found.append(f"classes: [{names}{more}] # their names, in order")
    if data.data.is_image:
        found.append("baseline: zero # what an absent pixel looks like; the mean colour otherwise")
    else:
        found.append("baseline: zero # what an absent column looks like; the mean row otherwise")
    return found


def _methods(images: bool, side: int) -> list[tuple[str, list[Line]]]:
    """Return methods that suit images of a side, or tables, in sections."""
    gradients = [
        ("gradient_x_input", "", ""),
        ("integrated_gradients", "{budget: 32}", "budget: rows of the network for each sample"),
        ("smoothgrad", "{budget: 16}", ""),
        ("deeplift", "", ""),
        ("lrp", "", "layer-wise relevance propagation"),
    ]
    masks = [("kernel_shap", "{budget: 256}", "Shapley values"), ("lime", "{budget: 128}", "")]
    controls = [("random_map", "", "no better than this is no information")]
    if images:
        window = max(2, math.ceil(side / 8))
        gradients += [("guided_backprop", "", ""), ("grad_cam", "", "")]
        masks.insert(0, ("occlusion", f"{{window: {window}, stride: {window}}}", ""))
        masks.append(("rise", "{budget: 128}", ""))
        controls.append(("edge_detector", "", "looks at the image alone"))
    else:
        masks.insert(0, ("feature_ablation", "", ""))
        masks.append(("shapley_sampling", "{budget: 128}", ""))
        controls.append(("input_itself", "", "looks at the row alone"))
    controls.append(("random_examples", "", "any training samples"))
    examples = [("gpex_neighbours", "{surrogate: last_layer}", "training samples as explanations")]
    return [
        ("gradients and propagation", gradients),
        ("masks", masks),
        ("through a surrogate", examples),
        ("controls: scores are compared with those of these", controls),
    ]


def _metrics(data: Dataset | None) -> list[Line]:
    """Return metrics that suit a kind of output."""
    is_number = data is not None and data.kind is Kind.NUMBER
    scale = "{output: logit}" if is_number else ""
    found = [
        ("srg", scale, "faithfulness: what falls first when the most relevant goes first"),
        ("deletion", scale, "the removal of the most relevant"),
        ("insertion", scale, "the removal of the least relevant"),
        ("infidelity", "", "do maps forecast what removals do?"),
        ("max_sensitivity", "", "robustness: how maps change under small noise"),
        ("mprt", "", "do maps change when the weights become random?"),
        ("completeness_error", "", "do maps sum to the change of the output?"),
        ("sparseness", "", "few large values, or many small ones?"),
    ]
    if data is None or data.kind is Kind.CLASSES:
        what = "are the training samples that explain of the same class?"
        found.append(("class_purity", "", what))
    return found
