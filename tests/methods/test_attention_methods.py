"""Attention rollout and gradient x attention: by numpy, and however a transformer is written."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from gpex_bench.contract.cost import counted
from gpex_bench.models.vit import Vit
from gpex_bench.types.demands import Refused
from tests.vocabulary import datasets

NAMES = ("attention_rollout", "gradient_x_attention")


def vit(x, seed=0, **settings):
    """A small ViT whose attention is far from even."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chosen = {"width": 12, "heads": 3, "blocks": 3, "stem": 0, "wide": 8} | settings
        model = Vit(**chosen).build(datasets.dataset(x)).eval().requires_grad_(False)
        for block in model.trunk.blocks:
            for layer in (block.attention.query, block.attention.key):
                layer.weight *= 3
    return model


def steps(model, x):
    """Run a ViT step by step; return the logits and the attention of each block [head, row, key]."""
    trunk, weights = model.trunk, []
    tokens = trunk.patches(x).flatten(2).mT
    if trunk.class_token is not None:
        tokens = torch.cat([trunk.class_token, tokens], 1)
    tokens = tokens + trunk.position
    for block in trunk.blocks:
        attention, seen = block.attention, block.norm_attention(tokens)
        queries, keys, values = (
            torch.stack(layer(seen)[0].chunk(attention.n_heads, 1))
            for layer in (attention.query, attention.key, attention.value)
        )
        weight = (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1)
        weights.append(weight)
        tokens = tokens + attention.out(torch.cat(list(weight @ values), 1))
        tokens = tokens + block.mlp(block.norm_mlp(tokens))
    tokens = trunk.norm(tokens)
    read = tokens.mean(1) if trunk.class_token is None else tokens[:, 0]
    return model.head(model.neck(read)), weights


def textbook(name, model, x, target):
    """Return the relevance of the patches of one image [row, column], by numpy."""
    with torch.enable_grad():
        logits, weights = steps(model, x.clone().requires_grad_())
        gradients = torch.autograd.grad(logits[0, target], weights)
    layers = [weight.detach().numpy().astype(float) for weight in weights]
    slopes = [gradient.numpy().astype(float) for gradient in gradients]

    total = np.eye(layers[0].shape[-1])
    for layer, slope in zip(layers, slopes, strict=True):
        if name == "attention_rollout":
            total = (0.5 * layer.mean(0) + 0.5 * np.eye(len(total))) @ total
        else:
            total = total + np.maximum(layer * slope, 0).mean(0) @ total
    if name == "gradient_x_attention":  # nothing of this at the row of a class token
        total = total - np.eye(len(total))
    patches = total.mean(0) if model.trunk.class_token is None else total[0, 1:]
    return torch.tensor(patches).float().reshape(model.trunk.grid)


def enlarged(patches, x):
    """Return a map of patches at the size of the images, shared between the channels."""
    large = functional.interpolate(patches[:, None], x.shape[2:], mode="bilinear")
    return (large / x.shape[1]).expand_as(x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings", [{"pooling": "class"}, {"pooling": "mean"}, {"stem": 4}, {"blocks": 1, "heads": 1}]
)
def test_it_is_the_textbooks(method, task, query, normal, name, settings):
    x, target = normal(3, 2, 12, 16), torch.tensor([0, 1, 2])
    model = vit(x, **settings)
    torch.testing.assert_close(steps(model, x[:1])[0], model(x[:1]), atol=1e-5, rtol=1e-4)
    values = method(name).explain(task(model, x), query(x, target)).values
    patches = [textbook(name, model, x[i : i + 1], int(target[i])) for i in range(3)]
    expected = enlarged(torch.stack(patches), x)
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=1e-4)
    assert float(values.max()) > 1.1 * float(values.min())
    assert float(values.min()) >= 0


def test_rollout_shares_sum_to_one_with_a_mean_of_patches(method, task, query, normal):
    x = normal(2, 1, 16, 16)
    asked = task(vit(x, patch=2), x)
    values = method("attention_rollout").explain(asked, query(x)).values
    other = method("attention_rollout").explain(asked, query(x, 1)).values
    assert torch.equal(values, other)  # the same for every class
    assert float(values.sum((1, 2, 3)).max()) == pytest.approx(4, rel=0.1)  # pixels of a patch
    relevance = method("gradient_x_attention").explain(asked, query(x)).values
    against = method("gradient_x_attention").explain(asked, query(x, 1)).values
    assert not torch.allclose(relevance, against)


@pytest.mark.parametrize("name, rows", [("attention_rollout", 0), ("gradient_x_attention", 1)])
def test_cost(method, task, query, normal, name, rows):
    x = normal(4, 1, 16, 16)
    asked = task(vit(x), x)
    with counted(asked.model) as cost:
        method(name).explain(asked, query(x))
    assert (cost.forward, cost.backward) == (4, 4 * rows)


# --- the same weights, written another way ------------------------------------------------------


class Written(nn.Module):
    """A ViT of one's own: class token first, last or none; attention in one of several forms."""

    def __init__(self, form="module", token="first", n_blocks=2, width=12, n_heads=3):
        super().__init__()
        self.form, self.token, self.n_heads = form, token, n_heads
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.cls = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 16 + (token != "none"), width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_blocks))
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(width, n_heads, batch_first=True) for _ in range(n_blocks)
        )
        self.mlps = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width)
            )
            for _ in range(n_blocks)
        )
        self.norm = nn.LayerNorm(width)
        for attention in self.attentions:
            attention.in_proj_weight.data *= 3

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        token = self.cls.expand(x.shape[0], -1, -1)
        if self.token != "none":
            parts = [token, tokens] if self.token == "first" else [tokens, token]
            tokens = torch.cat(parts, 1)
        tokens = tokens + self.position
        for norm, attention, mlp in zip(self.norms, self.attentions, self.mlps, strict=True):
            tokens = tokens + self.attend(attention, norm(tokens))
            tokens = tokens + mlp(tokens)
        tokens = self.norm(tokens)
        if self.token == "none":
            return tokens.mean(1)
        return tokens[:, 0 if self.token == "first" else -1]

    def attend(self, layer, x):
        if self.form == "module":
            return layer(x, x, x, need_weights=False)[0]
        n, t, width = x.shape
        joined = functional.linear(x, layer.in_proj_weight, layer.in_proj_bias)
        q, k, v = joined.reshape(n, t, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        if self.form == "function":
            mixed = functional.scaled_dot_product_attention(q, k, v)
        elif self.form == "einsum":
            score = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
            mixed = torch.einsum("bhqk,bhkd->bhqd", functional.softmax(score, dim=-1), v)
        elif self.form == "joined heads":
            q, k, v = (part.reshape(n * self.n_heads, t, -1) for part in (q, k, v))
            weight = torch.softmax(torch.bmm(q * q.shape[-1] ** -0.5, k.transpose(1, 2)), -1)
            mixed = torch.bmm(weight, v).reshape(n, self.n_heads, t, -1)
        else:
            weight = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
            mixed = functional.dropout(weight, 0.1, self.training) @ v
        return layer.out_proj(mixed.transpose(1, 2).reshape(n, t, width))


def written(layers, **how):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return layers(Written(**how), nn.Linear(12, 3)).eval().requires_grad_(False)


@pytest.mark.parametrize("name", NAMES)
def test_the_form_of_attention_makes_no_difference(layers, method, task, query, normal, name):
    x, target = normal(3, 1, 16, 16), torch.tensor([0, 1, 2])
    found = []
    for form in ("module", "function", "by hand", "einsum", "joined heads"):
        model = written(layers, form=form)
        found.append(method(name).explain(task(model, x), query(x, target)).values)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_patches_that_are_cut_by_hand_have_the_same_relevance(
    layers, method, task, query, normal, name
):
    """Without maps places are pixels, so nothing is enlarged: each has the value of its patch."""
    x, target = normal(3, 1, 16, 16), torch.tensor([0, 1, 2])
    model, other = written(layers, form="by hand"), written(layers, form="by hand")

    class Cut(nn.Module):
        def __init__(self, like):
            super().__init__()
            self.linear = nn.Linear(16, 12)
            self.linear.weight.data = like.weight.data.flatten(1)
            self.linear.bias.data = like.bias.data

        def forward(self, x):
            parts = x.reshape(x.shape[0], 4, 4, 4, 4).transpose(2, 3)  # row, column, in a patch
            return self.linear(parts.reshape(-1, 4, 4, 16)).permute(0, 3, 1, 2)

    other.trunk.patches = Cut(model.trunk.patches).requires_grad_(False)
    torch.testing.assert_close(model(x), other(x), atol=1e-5, rtol=1e-4)
    one = method(name).explain(task(model, x), query(x, target)).values
    two = method(name).explain(task(other, x), query(x, target)).values
    patches = two[:, :, ::4, ::4]
    assert torch.equal(two, patches.repeat_interleave(4, 2).repeat_interleave(4, 3))
    torch.testing.assert_close(enlarged(patches[:, 0], x), one, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_class_token_is_found_where_it_is(layers, method, task, query, normal, name):
    """At the end it has the position and the row of the last token; the patches stay the same."""
    x, target = normal(3, 1, 16, 16), torch.tensor([0, 1, 2])
    first, last = written(layers, token="first"), written(layers, token="last")
    position = first.trunk.position.data
    last.trunk.position.data = torch.cat([position[:, 1:], position[:, :1]], 1)
    torch.testing.assert_close(first(x), last(x), atol=1e-5, rtol=1e-4)
    one = method(name).explain(task(first, x), query(x, target)).values
    other = method(name).explain(task(last, x), query(x, target)).values
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    none = method(name).explain(task(written(layers, token="none"), x), query(x, target)).values
    assert not torch.allclose(one, none)


@pytest.mark.parametrize("name", NAMES)
def test_torchvisions_vit_is_ours_with_the_same_weights(method, task, query, normal, name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torchvision.models.VisionTransformer(
            image_size=16,
            patch_size=4,
            num_layers=2,
            num_heads=3,
            hidden_dim=12,
            mlp_dim=24,
            num_classes=3,
        )
    theirs.heads.head.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    theirs.class_token.data.normal_(generator=torch.Generator().manual_seed(1))
    theirs.eval().requires_grad_(False)
    x, target = normal(3, 3, 16, 16), torch.tensor([0, 1, 2])

    ours = vit(x, blocks=2, pooling="class")
    ours.neck, ours.head = nn.Identity(), theirs.heads.head
    trunk, encoder = ours.trunk, theirs.encoder
    trunk.patches, trunk.norm = theirs.conv_proj, encoder.ln
    trunk.class_token, trunk.position = theirs.class_token, encoder.pos_embedding
    for block, layer in zip(trunk.blocks, encoder.layers, strict=True):
        block.norm_attention, block.norm_mlp = layer.ln_1, layer.ln_2
        block.mlp[0], block.mlp[2] = layer.mlp[0], layer.mlp[3]
        for norm in (layer.ln_1, layer.ln_2, encoder.ln):
            assert norm.eps == 1e-6
        parts = layer.self_attention.in_proj_weight.chunk(3)
        biases = layer.self_attention.in_proj_bias.chunk(3)
        names = ("query", "key", "value")
        for linear, weight, bias in zip(names, parts, biases, strict=True):
            getattr(block.attention, linear).weight.data = weight.clone()
            getattr(block.attention, linear).bias.data = bias.clone()
        block.attention.out = copy.deepcopy(layer.self_attention.out_proj)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)

    one = method(name).explain(task(theirs, x), query(x, target)).values
    other = method(name).explain(task(ours, x), query(x, target)).values
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


# --- what is refused ----------------------------------------------------------------------------


class Pooled(nn.Module):
    """A query of its own that looks at all patches: attention that gives one token."""

    def __init__(self):
        super().__init__()
        self.patches, self.query = (
            nn.Conv2d(1, 12, 4, stride=4),
            nn.Parameter(torch.randn(1, 1, 12)),
        )
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        asked = tokens.mean(1, keepdim=True) + self.query
        return self.attention(asked, tokens, tokens)[0][:, 0]


class Overlapping(Written):
    """Tokens that see several places of the maps before them."""

    def forward(self, x):
        mixed = self.patches(x).flatten(2)
        tokens = (mixed + mixed.roll(1, 2)).transpose(1, 2) + self.position
        return self.norm(tokens + self.attend(self.attentions[0], self.norms[0](tokens))).mean(1)


class OverQueries(Written):
    """A softmax over the wrong axis."""

    def attend(self, layer, x):
        q = layer.out_proj(x)
        return (q @ q.mT).softmax(-2) @ q


class Turned(Written):
    """Weights that are used the other way round."""

    def attend(self, layer, x):
        q = layer.out_proj(x)
        return (q @ q.mT).softmax(-1).mT @ q


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_tokens_on_places_is_refused(layers, method, task, query, normal, name):
    x = normal(2, 1, 16, 16)
    trunks = {
        "has no attention between tokens": nn.Sequential(
            nn.Conv2d(1, 12, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        r"attention in trunk\.attention .*from one kind of token to another": Pooled(),
        r"are not one for each place of the maps of trunk\.patches": Overlapping(token="none"),
        "no softmax over its last axis": OverQueries(),
        "whose output is the first factor": Turned(),
    }
    for reason, trunk in trunks.items():
        model = layers(trunk, nn.Linear(12, 3)).eval().requires_grad_(False)
        with pytest.raises(Refused, match=reason):
            method(name).explain(task(model, x), query(x))


def test_a_head_of_zeros_is_refused(method, task, query, normal):
    """torchvision's transformers begin with one: no token is read, and a mean of none is no number."""
    x = normal(2, 1, 16, 16)
    model = vit(x)
    model.head.weight.zero_()
    for name in NAMES:
        with pytest.raises(Refused, match="logits do not depend on the output of the attention in"):
            method(name).explain(task(model, x), query(x))
    model.head.bias[0] = torch.nan
    for name in NAMES:
        with pytest.raises(Refused, match="outputs are not finite"):
            method(name).explain(task(model, x), query(x))


def test_attention_in_windows_is_refused(method, task, query, normal):
    model = torchvision.models.SwinTransformer([4, 4], 12, [2], [2], [2, 2], num_classes=3)
    model.eval().requires_grad_(False)
    x = normal(2, 3, 16, 16)
    for name in NAMES:
        with pytest.raises(Refused, match="attention in windows"):
            method(name).explain(task(model, x), query(x))
