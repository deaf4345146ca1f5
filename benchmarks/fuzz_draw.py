"""Draws random small networks for `fuzz`, as descriptions.

The same seed and number give the same one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from fuzz_ops import Description, Op, apply
from torch import Tensor

STYLES = {
    "linear": ("module", "module", "functional", "keyword", "subclass", "product", "weight_norm")
    + ("parametrized", "own weight"),
    "conv": ("module", "module", "functional", "keyword", "subclass", "weight_norm")
    + ("parametrized", "own weight"),
    "batch_norm": ("module", "module", "functional", "keyword", "subclass"),
    "layer_norm": ("module", "functional", "subclass"),
    "group_norm": ("module", "functional", "subclass"),
    "instance_norm": ("module", "subclass"),
    "act": ("module", "functional", "method", "subclass", "one for all", "in place")
    + ("in place functional", "in place method", "keyword"),
    "max_pool": ("module", "functional", "keyword", "subclass"),
    "avg_pool": ("module", "functional", "subclass"),
    "adaptive_avg": ("module", "functional", "subclass"),
    "adaptive_max": ("module", "functional"),
    "mean": ("method", "function"),
    "total": ("method", "function"),
    "add": ("operator", "function", "method", "in place operator", "in place method", "sum")
    + ("stack", "module"),
    "product": ("operator", "function", "method", "in place operator", "module"),
    "cat": ("function", "module"),
    "scale": ("operator", "function", "buffer", "in place operator", "divide"),
    "shift": ("operator", "function", "buffer", "in place operator", "subtract"),
    "flatten": ("method", "module", "function", "reshape", "view by size"),
    "softmax": ("module", "functional", "method"),
    "matmul": ("operator", "function", "method"),
}
CURVED = ("silu", "gelu", "sigmoid", "tanh", "softplus", "hardswish", "elu", "hardsigmoid")
KINDS = ("table", "table", "flat image", "image", "image", "image", "image", "series")
# activations of which torch has no form in place, or one only
IN_PLACE = dict.fromkeys(("gelu", "softplus", "prelu"), "functional")
IN_PLACE |= dict.fromkeys(("sigmoid", "tanh"), "in place method")
N_COLUMNS = (3, 8)
SIDES = (6, 7, 8, 9)


def draw(seed: int, number: int) -> Description:
    """Return one network."""
    maker = Maker(seed, number)
    kind = maker.random.choice(KINDS)
    if kind == "table":
        maker.input(maker.random.randint(*N_COLUMNS))
    elif kind == "series":
        maker.input(maker.random.randint(9, 14))
        maker.move("view", shape=(1, maker.shape[0]))
    else:
        side = maker.random.choice(SIDES)
        maker.input(maker.random.choice((1, 2, 3)), side, side)
    if kind == "flat image":
        maker.flatten()

    for _ in range(maker.random.randint(2, 5)):
        maker.block()
    n_trunk = len(maker.ops) if len(maker.shape) == 3 else 0
    maker.end()
    return Description(
        name=f"seed {seed}, network {number} ({kind})",
        ops=tuple(in_place_where_allowed(maker.ops)),
        n_trunk=n_trunk,
        is_image=len(maker.ops[0].shape) == 3,
    )


class Maker:
    """A network while it is drawn; `at` is the operation whose output goes on."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed} {number}")
        self.numbers = torch.Generator().manual_seed(self.random.getrandbits(40))
        # a third have only what has a rule in every textbook, and a third no gate and no attention
        self.wildness = self.random.randrange(3)
        self.ops: list[Op] = []
        self.changed: dict[int, int] = {}  # what was changed in place: by which operation
        self.at = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what goes on."""
        return self.ops[self.at].shape

    def normal(self, *shape: int, size: float = 1.0) -> Tensor:
        """Return normal numbers."""
        return size * torch.randn(*shape, generator=self.numbers)

    def input(self, *shape: int) -> None:
        """Start with the input."""
        self.ops.append(Op("input", shape=shape))

    def add(self, kind: str, *sources: int, weights: dict | None = None, **settings: Any) -> int:
        """Append an operation; it goes on from there. Return its place."""
        read_as = sources or (self.at,)
        sources = tuple(self._now(source) for source in read_as)
        word = settings["name"] if kind == "move" else kind
        style = self.random.choice(STYLES.get(word, ("function",)))
        if kind == "act" and style.startswith("in place"):
            style = IN_PLACE.get(settings["name"], style)
        examples = [torch.ones(1, *self.ops[source].shape) for source in sources]
        op = Op(kind, sources, (), settings, weights or {}, style, read_as=read_as)
        shape = tuple(apply(op, examples).shape[1:])
        self.ops.append(replace(op, shape=shape))
        self.at = len(self.ops) - 1

        # who reads the old name later sees the new value
        if style.startswith("in place") and self.random.random() < 0.6:
            self.changed[sources[0]] = self.at
        return self.at

    def _now(self, number: int) -> int:
        while number in self.changed:
            number = self.changed[number]
        return number

    # --- single operations ---

    def linear(self, n_outputs: int) -> int:
        """Add a linear layer on the last axis."""
        n = self.shape[-1]
        weights = {"weight": self.normal(n_outputs, n, size=1.3 / n**0.5)}
        if self.random.random() < 0.8:
            weights["bias"] = self.normal(n_outputs, size=0.3)
        return self.add("linear", weights=weights)

    def conv(self, n_outputs: int, size: int = 3, same: bool = False) -> int:
        """Add a convolution."""
        channels, *places = self.shape
        n_groups = self.random.choice((1, 1, channels if n_outputs % channels == 0 else 1))
        stride, dilation = 1, 1
        if not same and min(places) > 5:
            stride, dilation = self.random.choice(((1, 1), (1, 1), (2, 1), (1, 2)))
        padding = size // 2 if same or min(places) < 5 else self.random.choice((0, 1))
        fan = channels // n_groups * size ** len(places)
        shape = (n_outputs, channels // n_groups, *[size] * len(places))
        weights = {"weight": self.normal(*shape, size=1.4 / fan**0.5)}
        if self.random.random() < 0.7:
            weights["bias"] = self.normal(n_outputs, size=0.3)
        return self.add(
            "conv",
            weights=weights,
            stride=stride,
            padding=padding,
            groups=n_groups,
            dilation=dilation,
        )

    def norm(self) -> int:
        """Add a norm: of the batch, mostly."""
        channels = self.shape[0]
        others = self.wildness > 0
        kinds = ["batch_norm"] * 5
        if others:
            kinds.append("layer_norm")
        if others and len(self.shape) > 1:
            kinds += ["group_norm", "instance_norm"]
        kind = self.random.choice(kinds)
        shape: tuple[int, ...] = (channels,)
        settings: dict[str, object] = {}
        if kind == "layer_norm":
            shape = self.shape[-self.random.randint(1, len(self.shape)) :]
        if kind == "group_norm":
            settings["groups"] = self.random.choice([n for n in (1, 2, 3) if channels % n == 0])
        weights = {"weight": 0.5 + self.normal(*shape).abs(), "bias": self.normal(*shape, size=0.3)}
        if kind == "batch_norm":
            weights["mean"] = self.normal(channels, size=0.3)
            weights["var"] = 0.5 + torch.rand(channels, generator=self.numbers)
        return self.add(kind, weights=weights, **settings)

    def act(self, name: str = "") -> int:
        """Add an activation: ReLU, mostly."""
        chance = self.random.random()
        if not name:
            name = "relu"
            if chance > 0.6:
                curved = CURVED if self.wildness else ()
                name = self.random.choice((*curved, "relu6", "leaky_relu", "prelu"))
        weights = {}
        if name == "prelu":
            weights["weight"] = 0.1 + 0.3 * torch.rand(
                self.random.choice((1, self.shape[0])), generator=self.numbers
            )
        return self.add("act", weights=weights, name=name)

    def move(self, name: str, **settings: object) -> int:
        """Add an operation that moves values."""
        return self.add("move", name=name, **settings)

    def flatten(self) -> int:
        """Make a vector of what goes on."""
        return self.move("flatten")

    # --- blocks ---

    def layer(self, n_outputs: int = 0, same: bool = False) -> int:
        """Add a layer with weights, in one of the orders with a norm and an activation."""
        weighted: Callable[[], int]
        if len(self.shape) == 1:
            width = n_outputs or self.random.randint(4, 8)
            weighted = lambda: self.linear(width)  # noqa: E731
        else:
            width = n_outputs or self.random.choice((2, 4, 4, 6))
            size = self.random.choice((1, 3, 3)) if same else 3
            weighted = lambda: self.conv(width, size, same)  # noqa: E731
        order = self.random.choice(("wa", "wa", "wna", "wna", "naw", "nw", "awn", "wan"))
        for letter in order:
            {"w": weighted, "n": self.norm, "a": self.act}[letter]()
        return self.at

    def block(self) -> None:
        """Add one of the blocks that networks are made of."""
        blocks = [self.layer, self.layer, self.layer, self.residual, self.join, self.act, self.norm]
        blocks += [self.constants, self.around, self.dropout, self.twice]
        if len(self.shape) > 1:
            blocks += [self.pool, self.pool, self.split]
        if self.wildness == 2:
            blocks += [self.gate, self.squeeze if len(self.shape) > 1 else self.attention]
        self.random.choice(blocks)()

    def residual(self) -> None:
        """Add a block with a skip connection."""
        start = self.at
        end = self.layer(self.shape[0], same=True)
        factors = self.random.choice(((1.0, 1.0), (1.0, 1.0), (1.0, 0.5), (1.0, -1.0)))
        self.add("add", start, end, factors=factors)
        if self.random.random() < 0.5:
            self.act()

    def twice(self) -> None:
        """Use the same module two times."""
        if len(self.shape) > 1:
            first = self.conv(self.shape[0], 3, same=True)
        else:
            first = self.linear(self.shape[0])
        self.act()
        again = replace(self.ops[first], sources=(self.at,), read_as=(self.at,), shared=first)
        self.ops.append(again)
        self.at = len(self.ops) - 1

    def around(self) -> None:
        """Add an activation and, to it, what it read."""
        start = self.at
        self.act()
        self.add("add", start, self.at, factors=(1.0, 1.0))

    def join(self) -> None:
        """Join a layer's output to its input."""
        start = self.at
        self.layer(same=True)
        self.add("cat", start, self.at)

    def gate(self) -> None:
        """Multiply by a sigmoid of a layer's output."""
        start = self.at
        self.conv(self.shape[0], 1, same=True) if len(self.shape) > 1 else self.linear(
            self.shape[0]
        )
        self.act("sigmoid")
        self.add("product", start, self.at)

    def squeeze(self) -> None:
        """Add a squeeze-and-excitation block."""
        start, dims = self.at, tuple(range(2, len(self.shape) + 1))
        channels, rank = self.shape[0], len(self.shape)
        self.add("mean", dims=dims)
        self.linear(2)
        self.act("relu")
        self.linear(channels)
        self.act(self.random.choice(("sigmoid", "hardsigmoid")))
        self.move("view", shape=(channels, *[1] * (rank - 1)))
        self.add("product", start, self.at)

    def split(self) -> None:
        """Send halves of the channels different ways, and join them."""
        start, n = self.at, self.shape[0]
        if n < 2:
            return
        first = self.add("move", start, name="part", start=0, stop=n // 2)
        self.add("move", start, name="part", start=n // 2, stop=n)
        self.layer(n - n // 2, same=True)
        self.add("cat", first, self.at)

    def constants(self) -> None:
        """Normalise by constants, (x - m) / s."""
        shape = (
            (1,) if self.random.random() < 0.5 else (self.shape[0], *[1] * (len(self.shape) - 1))
        )
        self.add("shift", weights={"constant": self.normal(*shape, size=0.3)})
        self.add("scale", weights={"constant": 0.5 + self.normal(*shape).abs()})

    def dropout(self) -> None:
        """Add a dropout, which does nothing in eval mode."""
        self.move("same")

    def pool(self) -> None:
        """Add a pooling."""
        if min(self.shape[1:]) < 4:
            return
        kind = self.random.choice(("max_pool", "max_pool", "avg_pool", "adaptive_avg"))
        if kind == "adaptive_avg":
            self.add(kind, output_size=self.random.choice((2, 3)))
            return
        size, stride, padding = self.random.choice(((2, 2, 0), (3, 1, 1), (3, 2, 1), (3, 2, 0)))
        self.add(kind, kernel_size=size, stride=stride, padding=padding)

    def attention(self) -> None:
        """Cut the columns into tokens of two, and let each look at all."""
        n_tokens, width = 4, 2
        self.linear(n_tokens * width)
        start = self.move("view", shape=(n_tokens, width))
        query, key, value = (self._branch(start, width) for _ in range(3))
        self.add("matmul", query, key, transposed=True)
        self.add("scale", weights={"constant": torch.tensor([width**-0.5])})
        attention = self.add("softmax")
        self.add("matmul", attention, value, transposed=False)
        self.linear(width)
        self.add("add", start, self.at, factors=(1.0, 1.0))
        self.flatten()

    def _branch(self, start: int, width: int) -> int:
        self.at = start
        return self.linear(width)

    def end(self) -> None:
        """Add what leads to the logits."""
        if len(self.shape) > 1:
            dims = tuple(range(2, len(self.shape) + 1))
            ways = (
                lambda: self.add("mean", dims=dims),
                self.flatten,
                lambda: (self.add("adaptive_avg", output_size=1), self.flatten()),
            )
            self.random.choice(ways)()
        if self.random.random() < 0.4:
            self.linear(self.random.randint(4, 8))
            self.act()
        n = self.shape[0]
        weights = {"weight": self.normal(self.random.choice((1, 2, 3, 4)), n, size=1.3 / n**0.5)}
        weights["bias"] = self.normal(len(weights["weight"]), size=0.3)
        self.add("linear", weights=weights)


def in_place_where_allowed(ops: Sequence[Op]) -> list[Op]:
    """Return the operations; those that would change what is still needed are not in place."""
    roots: list[int] = []  # the operation whose memory each one's output lies in
    for number, op in enumerate(ops):
        is_view = op.kind == "move" and op.settings["name"] != "pad"
        is_in_place = op.style.startswith("in place")
        roots.append(roots[op.sources[0]] if is_view or is_in_place else number)

    result = list(ops)
    for number, op in enumerate(ops):
        if op.style.startswith("in place") and _is_needed(ops, roots, number):
            result[number] = replace(op, style="function")

    # an old name is good only where the change was made in place
    for number, op in enumerate(result):
        is_good = all(
            name == source or _is_changed(result, name, source)
            for name, source in zip(op.read_as, op.sources, strict=True)
        )
        if not is_good:
            result[number] = replace(op, read_as=op.sources)
    return result


def _is_needed(ops: Sequence[Op], roots: list[int], number: int) -> bool:
    """Return whether what an operation would change in place is read later as it was."""
    root = roots[ops[number].sources[0]]
    if root == 0 or ops[number].shape != ops[ops[number].sources[0]].shape:
        return True
    changed = [other for other in range(number) if roots[other] == root]
    later = ops[number + 1 :]
    return len(set(ops[number].sources)) < len(ops[number].sources) or any(
        source in changed for op in later for source in op.sources
    )


def _is_changed(ops: Sequence[Op], name: int, number: int) -> bool:
    """Return whether an operation is what was left in `name` by changes in place."""
    while number != name and ops[number].style.startswith("in place"):
        number = ops[number].sources[0]
    return number == name
