"""What must hold for the graph of every rewritten network."""

from __future__ import annotations

from torch import fx

from gpex_bench.models.rewriting import Rewritten, operations

ALLOWED = {"placeholder", "get_attr", "call_module", "output"}
TAKE_CONSTANTS = (operations.Concatenate, operations.Stack, operations.MatrixProduct)
ONE_SHAPE = (
    operations.Add,
    operations.Product,
    operations.Divide,
    operations.Shift,
    operations.Scale,
)


def kinds(rewritten: Rewritten) -> list[str]:
    """Return the types of the modules, in order."""
    modules = (rewritten.network.get_submodule(node.target) for node in calls(rewritten))
    return [type(module).__name__ for module in modules]


def calls(rewritten: Rewritten) -> list[fx.Node]:
    """Return the nodes that call modules."""
    return [node for node in rewritten.network.graph.nodes if node.op == "call_module"]


def check_graph(rewritten: Rewritten) -> None:
    """Assert what the package's docstring says of the graph."""
    network = rewritten.network
    nodes = list(network.graph.nodes)
    assert {node.op for node in nodes} <= ALLOWED
    assert [node.op for node in nodes].count("placeholder") == 1
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())

    targets = [node.target for node in calls(rewritten)]
    assert len(set(targets)) == len(targets)
    for node in nodes:
        if node.op == "get_attr":
            readers = [network.get_submodule(reader.target) for reader in node.users]
            assert all(isinstance(reader, TAKE_CONSTANTS) for reader in readers)
        if node.op == "call_module":
            check_call(network, node)


def check_call(network: fx.GraphModule, node: fx.Node) -> None:
    """Assert what holds for one module."""
    module = network.get_submodule(node.target)
    home = type(module).__module__
    assert home.startswith("torch.nn.modules") or home == operations.__name__
    assert not list(module.children())
    assert not getattr(module, "inplace", False)
    assert not module._forward_hooks and not module._forward_pre_hooks
    assert not hasattr(module, "parametrizations")
    assert not module.training

    assert node.args and not node.kwargs
    assert all(isinstance(argument, fx.Node) for argument in node.args)
    assert {"place", "name", "shape"} <= set(node.meta)
    if isinstance(module, ONE_SHAPE):
        assert {argument.meta["shape"] for argument in node.args} == {node.meta["shape"]}
