"""Relevance through attention, against AttnLRP written out in numpy and against conservation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from gpex_bench.models.attention import Attention
from gpex_bench.models.blocks.two_branches import AttentionModel, plain_trunk
from gpex_bench.models.vit import Vit
from gpex_bench.types import Model
from gpex_bench.types.demands import Refused
from tests.vocabulary import networks

WIDTH, HEADS = 4, 2


class Layer(Model):
    """Tokens [3, 4] -> attention of two heads, added to the tokens -> layer norm -> mean."""

    def __init__(self):
        super().__init__()
        self.mixed = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 2)

    def embed(self, x):
        parts = self.mixed(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        weight = (query @ key.mT / (WIDTH / HEADS) ** 0.5).softmax(-1)
        x = x + self.out((weight @ value).transpose(1, 2).flatten(2))
        return self.norm(x).mean(1)


class WithModule(Layer):
    """The same with torch's attention; places first, as it likes them by default."""

    def __init__(self, like: Layer):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS)
        self.attention.in_proj_weight.data = like.mixed.weight.data
        self.attention.in_proj_bias.data = like.mixed.bias.data
        self.attention.out_proj = like.out
        self.norm, self.head = like.norm, like.head

    def embed(self, x):
        places = x.transpose(0, 1)
        mixed, _ = self.attention(places, places, places)
        return self.norm(x + mixed.transpose(0, 1)).mean(1)


@pytest.fixture
def layer():
    """An attention layer whose weights and biases are all at work."""
    return networks.seeded(Layer)


@pytest.fixture
def tokens(normal):
    return normal(2, 3, WIDTH)


# --- by hand ---


def by_linear(a, weight, bias, relevance):
    """Return sum over k of a_j w_kj R_k / z_k; also the output z."""
    z = a @ weight.T + bias
    return a * ((relevance / z) @ weight), z


def by_hand(layer, x, target, softmax):
    """Return the relevance of one sample's tokens, operation by operation, in double precision."""
    weights = {name: p.double().numpy() for name, p in layer.named_parameters()}
    names = ("mixed", "out", "norm", "head")
    (wm, bm), (wo, bo), (wn, bn), (wh, bh) = (
        (weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names
    )
    x = x.double().numpy()
    n, size = len(x), WIDTH // HEADS

    # forward
    mixed = (x @ wm.T + bm).reshape(n, 3, HEADS, size)
    query, key, value = (mixed[:, i].transpose(1, 0, 2) for i in range(3))
    scores = query @ key.transpose(0, 2, 1) / size**0.5
    weight = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    heads = weight @ value
    joined = heads.transpose(1, 0, 2).reshape(n, WIDTH)
    attended = joined @ wo.T + bo
    total = x + attended
    deviation = np.sqrt(total.var(-1, keepdims=True) + layer.norm.eps)
    normed = (total - total.mean(-1, keepdims=True)) / deviation * wn + bn
    mean = normed.mean(0)
    logits = mean @ wh.T + bh

    # head and mean
    relevance = np.where(np.arange(len(logits)) == target, logits, 0)
    of_mean = mean * ((relevance / logits) @ wh)
    of_normed = normed / normed.sum(0) * of_mean

    # layer norm: a linear map of each token, once the deviation is a constant
    of_total = np.zeros_like(x)
    for t in range(n):
        jacobian = wn[:, None] / deviation[t] * (np.eye(WIDTH) - 1 / WIDTH)
        of_total[t] = total[t] * ((of_normed[t] / normed[t]) @ jacobian)

    # the sum, and the layer behind attention
    of_x = of_total * x / total
    of_joined = joined * ((of_total * attended / total / attended) @ wo)
    of_heads = of_joined.reshape(n, HEADS, size).transpose(1, 0, 2)

    # the product of weights and values, softmax, the product of queries and keys
    of_mixed = np.zeros_like(mixed)
    part = 0.5 if softmax else 1.0
    for h in range(HEADS):
        shared = part * of_heads[h] / heads[h]
        of_mixed[:, 2, h] = value[h] * (weight[h].T @ shared)
        if not softmax:
            continue
        of_weight = weight[h] * (shared @ value[h].T)
        of_scores = scores[h] * (of_weight - weight[h] * of_weight.sum(-1, keepdims=True))
        product = query[h] @ key[h].T
        of_mixed[:, 0, h] = query[h] * ((0.5 * of_scores / product) @ key[h])
        of_mixed[:, 1, h] = key[h] * ((0.5 * of_scores / product).T @ query[h])

    mixed = mixed.reshape(n, -1)
    return of_x + x * ((of_mixed.reshape(n, -1) / mixed) @ wm)


@pytest.mark.parametrize("attention", ["taylor", "constant"])
def test_attention_is_attn_lrp_written_out(layer, tokens, task, query, method, attention):
    explainer = method("lrp", composite="epsilon", epsilon=0.0, attention=attention)
    values = explainer.explain(task(layer, tokens), query(tokens, 1)).values
    for row in range(2):
        expected = torch.tensor(by_hand(layer, tokens[row], 1, attention == "taylor"))
        torch.testing.assert_close(values[row].double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("composite", ["epsilon", "gamma"])
@pytest.mark.parametrize("bias", ["absorbs", "spread"])
def test_torchs_attention_module_is_the_same(layer, tokens, task, query, method, composite, bias):
    """Its places come before the rows, and each row is explained by itself nevertheless."""
    other = networks.seeded(lambda: WithModule(layer))
    explainer = method("lrp", composite=composite, bias=bias)
    values = explainer.explain(task(layer, tokens), query(tokens, 1)).values
    found = explainer.explain(task(other, tokens), query(tokens, 1)).values
    torch.testing.assert_close(found, values, rtol=1e-3, atol=1e-4 * float(values.abs().max()))

    stabilised = method("lrp", composite=composite, bias=bias, epsilon=0.5)
    found = stabilised.explain(task(other, tokens), query(tokens, 1)).values
    alone = stabilised.explain(task(other, tokens), query(tokens[1:], 1)).values
    torch.testing.assert_close(alone, found[1:], rtol=1e-4, atol=1e-6)


# --- conservation ---


def torchvisions_transformer():
    """A vision transformer of torchvision with a class token, as it comes, but for its sizes."""
    network = VisionTransformer(
        image_size=16,
        patch_size=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=3,
    )
    nn.init.normal_(network.heads[-1].weight)
    nn.init.normal_(network.class_token)
    return network


def zoo(pooling, data):
    return Vit(patch=4, width=16, blocks=2, heads=2, wide=16, pooling=pooling).build(data)


@pytest.fixture(params=["mean", "class", "torchvision"])
def transformer(request, normal, task):
    """A vision transformer and two images."""
    x = normal(2, 3, 16, 16)
    if request.param == "torchvision":
        return networks.seeded(torchvisions_transformer), x
    return networks.seeded(lambda: zoo(request.param, task(nn.Identity(), x).data)), x


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "gamma", "epsilon_gamma_box"])
@pytest.mark.parametrize("attention", ["taylor", "constant"])
def test_relevance_of_image_and_class_token_sums_to_the_logit(
    transformer, task, query, method, composite, attention
):
    network, x = transformer
    explainer = method("lrp", composite=composite, bias="spread", attention=attention)
    asked, wanted = task(network, x), query(x, torch.tensor([0, 2]))
    found = explainer.explain(asked, wanted)

    size = found.values.abs().flatten(1).sum(1)
    assert float((found.residual.abs() / size).max()) < 1e-3
    if getattr(network, "class_token", None) is None and network.trunk.class_token is None:
        logits = network(x).gather(1, wanted.target[:, None])[:, 0]
        total = found.values.flatten(1).sum(1)
        torch.testing.assert_close(total, logits, rtol=1e-2, atol=1e-3 * float(size.max()))


def test_deep_taylor_keeps_one_sign_on_a_transformer(transformer, task, query, method):
    network, x = transformer
    asked, wanted = task(network, x), query(x, torch.tensor([0, 2]))
    found = method("deep_taylor").explain(asked, wanted)
    logits = network(x).gather(1, wanted.target[:, None])
    assert float((found.values.flatten(1) * logits).min()) >= 0
    assert float((found.residual / logits[:, 0]).abs().max()) < 1e-3


def test_a_softmax_at_the_end_is_refused_by_deep_taylor(layers, task, query, method, normal):
    model = layers(nn.Sequential(nn.Linear(3, 4), nn.Softmax(1)), nn.Linear(4, 2))
    x = normal(2, 3)
    with pytest.raises(Refused, match=r"'Softmax' in trunk\.1 \(Softmax\); explain what goes"):
        method("deep_taylor").explain(task(model, x), query(x))


# --- the network of two branches ---


def test_weights_of_places_take_nothing(task, query, method, normal):
    """A linear network of the features is left, once the weights are constants."""
    x = normal(1, 1, 16, 16)
    sizes = {"channels": 8, "squeeze": 4, "wide": 16, "n_heads": 3}
    network = networks.seeded(lambda: AttentionModel(plain_trunk(1, 2), plain_trunk(1, 2), **sizes))
    share = network.attention(x)

    class Fixed(Model):
        def __init__(self):
            super().__init__()
            self.features, self.neck, self.head = network.features, network.neck, network.head

        def embed(self, x):
            return self.neck((self.features(x) * share[:, None]).sum((2, 3)))

    fixed = networks.seeded(Fixed)
    for name in ("lrp", "deep_taylor"):
        values = method(name).explain(task(network, x), query(x, 1)).values
        expected = method(name).explain(task(fixed, x), query(x, 1)).values
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("composite", ["alpha1_beta0", "epsilon_plus", "gamma"])
@pytest.mark.parametrize("bias", ["ignored", "spread"])
def test_relevance_sums_to_the_logit_of_the_network_of_two_branches(
    task, query, method, normal, composite, bias
):
    x = normal(2, 3, 16, 16)
    data = task(nn.Identity(), x).data
    network = networks.seeded(lambda: Attention(width=4, squeeze=4, wide=16).build(data))
    explainer = method("lrp", composite=composite, bias=bias)
    found = explainer.explain(task(network, x), query(x, 1))
    logit = network(x)[:, 1]
    assert float((found.residual / logit).abs().max()) < 1e-3
    torch.testing.assert_close(found.values.flatten(1).sum(1), logit, rtol=1e-3, atol=1e-5)
