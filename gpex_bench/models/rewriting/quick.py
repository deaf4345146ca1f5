"""A network that answers many rows without gradients: the same outputs, in less time.

Metrics and explainers ask a network about thousands of changed inputs and read nothing but its
outputs. For these a copy is made of its graph (`models.rewriting`), in which a convolution, the
batch norm and the residual after it, and their ReLU are one step of oneDNN, and the channels of a
position lie next to each other in memory. Outputs agree to rounding, which is checked. Hooks and
gradients never meet the copy; rows through it are counted as the network's own.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gpex_bench.models.rewriting import CannotRewrite, Rewritten, rewrite
from gpex_bench.models.rewriting.operations import Add

Forward = Callable[[Tensor], Tensor]

# A copy costs about as much as so many rows through a small network.
LEAST_ROWS = 512
N_CHECKED = 4  # rows on which outputs are compared
# By how much outputs may differ, as a share of how much outputs vary between rows.
TOLERANCE = 1e-5


def quick(network: nn.Module, x: Float[Tensor, "batch *feature"], n_rows: int) -> Forward:
    """Return a function that gives the network's outputs for rows like x, without gradients.

    Args:
        network: in eval mode, on the device of x.
        x: rows of the kind that will be asked about.
        n_rows: how many rows will be asked about; for a few rows a copy is not worth its cost.
    """
    is_image_on_cpu = x.ndim == 4 and x.device.type == "cpu"
    if not is_image_on_cpu or not _has(network, nn.Conv2d):
        return network

    copied = None
    if n_rows >= LEAST_ROWS and not _is_watched(network):
        copied = _copy(network, x)
    if copied is not None:
        return lambda batch: copied(_channels_last(batch))
    if _has(network, nn.MaxPool2d):
        return lambda batch: network(_channels_last(batch))
    return network


def _has(network: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(module, kind) for module in network.modules())


def _is_watched(network: nn.Module) -> bool:
    """Return whether hooks look at what goes through the network, besides those that count rows."""
    for module in network.modules():
        observers = [hook for hook in module._forward_hooks.values()]
        observers = [hook for hook in observers if not hasattr(hook, "counts_rows")]
        if observers or module._forward_pre_hooks:
            return True
    return False


def _channels_last(x: Float[Tensor, "row channel height width"]) -> Tensor:
    """Return the same images with the channels next to each other in memory."""
    if x.shape[1] > 1:
        return x.contiguous(memory_format=torch.channels_last)

    # contiguous() ignores the format where there is one channel.
    height, width = x.shape[2:]
    strides = (height * width, 1, width, 1)
    return x.contiguous().as_strided(x.shape, strides)


# --- the copy ---

# By the graph that a copy was made of; None where it does not agree.
_COPIES: Any = weakref.WeakKeyDictionary()


def _copy(network: nn.Module, x: Tensor) -> nn.Module | None:
    """Return the quick copy of a network, or None if there is none; the second time at once."""
    try:
        rewritten = rewrite(network, x[:N_CHECKED])
    except CannotRewrite:
        return None
    if rewritten.reads_values:
        return None

    graph = rewritten.network
    if graph not in _COPIES:
        _COPIES[graph] = _made(rewritten, x[:N_CHECKED])
    return _COPIES[graph]


def _made(rewritten: Rewritten, x: Tensor) -> nn.Module | None:
    """Return the quick copy of a graph, or None if its outputs differ by more than rounding."""
    copied = copy.deepcopy(rewritten.network)
    with torch.inference_mode(False), torch.no_grad():
        _fold_norms(copied)
        _join_relus(copied)
        copied.to(memory_format=torch.channels_last)

        # graphs run here, so that no row is counted
        expected = fx.Interpreter(rewritten.network).run(x)
        outputs = fx.Interpreter(copied).run(_channels_last(x))
    difference = float((outputs - expected).abs().max())
    return copied if difference <= TOLERANCE * rewritten.scale else None


def _fold_norms(network: fx.GraphModule) -> None:
    """Make each batch norm a part of the convolution before it, where nothing else reads that."""
    for norm in _calls(network, nn.BatchNorm2d):
        (before,) = norm.all_input_nodes
        if not _only_feeds(network, before, nn.Conv2d):
            continue
        folded = fuse_conv_bn_eval(_module(network, before), _module(network, norm))
        network.set_submodule(str(before.target), folded)
        norm.replace_all_uses_with(before)
        network.graph.erase_node(norm)
    _tidy(network)


class Joined(nn.Module):
    """A convolution, what is added to it if there is a second signal, and their ReLU."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight
        self.bias = convolution.bias
        settings = (convolution.padding, convolution.stride, convolution.dilation)
        self.settings = [list(setting) for setting in settings]
        self.groups = convolution.groups

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return the sum where it is positive."""
        join = torch.ops.mkldnn._convolution_pointwise
        how = (*self.settings, self.groups)
        if residual is None:
            return join(x, self.weight, self.bias, *how, "relu", [], "")
        weights = (self.weight, self.bias)
        return join.binary(x, residual, *weights, *how, "add", 1.0, "relu", [], "")


def _join_relus(network: fx.GraphModule) -> None:
    """Join each ReLU with the convolution, or the convolution and residual, that it follows."""
    for relu in _calls(network, nn.ReLU):
        (before,) = relu.all_input_nodes
        convolution, residual = _terms(network, before)
        if convolution is None:
            continue

        layer = _module(network, convolution)
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            continue
        network.set_submodule(str(relu.target), Joined(layer))
        relu.args = (*convolution.args, *residual)
    network.graph.eliminate_dead_code()
    _tidy(network)


def _terms(network: fx.GraphModule, node: fx.Node) -> tuple[fx.Node | None, tuple[fx.Node, ...]]:
    """Return the convolution that a node is, or adds to another signal, and that signal."""
    if _only_feeds(network, node, nn.Conv2d):
        return node, ()

    inputs = node.all_input_nodes
    is_sum = _only_feeds(network, node, Add) and len(inputs) == 2
    if is_sum and _module(network, node).alphas == (1, 1):
        for term, other in (inputs, inputs[::-1]):
            if _only_feeds(network, term, nn.Conv2d):
                return term, (other,)
    return None, ()


def _calls(network: fx.GraphModule, kind: type[nn.Module]) -> list[fx.Node]:
    """Return the nodes that call a module of a kind."""
    return [node for node in network.graph.nodes if _is(network, node, kind)]


def _is(network: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    return node.op == "call_module" and type(_module(network, node)) is kind


def _only_feeds(network: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    """Return whether a node calls a module of a kind, and one other node alone reads it."""
    return _is(network, node, kind) and len(node.users) == 1


def _module(network: fx.GraphModule, node: fx.Node) -> Any:
    return network.get_submodule(str(node.target))


def _tidy(network: fx.GraphModule) -> None:
    network.graph.lint()
    network.delete_all_unused_submodules()
    network.recompile()
