"""Relevance is propagated through a rewritten network: forward once, backward by the rules.

Each module's output is detached from the module's own graph and attached to a node with the rule
as its backward pass, so that autograd visits the rules only. Which rule that is, `reading` decides
before anything runs. Beside the signals travel, where layers need them, the bounds of the input and
what constants add up to.

zennit (anders2021software) has the same rules for networks of linear layers, and the tests compare
with it. It is not used here, because it finds the layer of a batch norm by the order of
registration, loses relevance where all contributions are 0, has no alpha2-beta1 that conserves, and
ignores unknown layers and bare additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, fx, nn

from gpex_bench.families.lrp.kinds import LINEAR_MOVES
from gpex_bench.families.lrp.passages import attach
from gpex_bench.families.lrp.reading import Composite, Plan, Step, has_gaps
from gpex_bench.models.given.wrapped import name_inside
from gpex_bench.models.rewriting import Rewritten, rewrite
from gpex_bench.models.rewriting import operations as ops
from gpex_bench.types.batches import RECORDED_ROWS, rows_at_once
from gpex_bench.types.demands import Refused


class Filter(NamedTuple):
    """Relevance filtering: only the relevance of some channels of one module is passed on."""

    module: str  # name, as in named_modules()
    channels: Sequence[int]


def propagate(
    network: nn.Module,
    x: Float[Tensor, "batch *feature"],
    target: Int[Tensor, "batch"],
    composite: Composite,
    relevance_filter: Filter | None = None,
) -> tuple[Float[Tensor, "batch *feature"], Float[Tensor, "batch"]]:
    """Propagate the logit of each sample's target to its input.

    The network is rewritten on a copy, whose forward rows are counted as the network's own.

    Returns:
        The relevance of each input entry, and the residual: the logit, minus what constants among
        the signals (a class token) took, minus the sum of the relevance.

    Raises:
        Refused: no rule is known for something that relevance has to pass.
        ValueError: the network has no module of the filter's name, or that has no such channels.
    """
    rewritten = rewrite(network, x)
    plan = Plan(rewritten.network, composite)
    masked = None
    if relevance_filter is not None:
        masked = _output_of(relevance_filter.module, rewritten, plan, network)

    values, residuals = [], []
    size = rows_at_once(RECORDED_ROWS, x)
    chunks = zip(x.split(size), target.split(size), strict=True)
    for x_part, target_part in chunks:
        run = Run(plan, x_part)
        if relevance_filter is not None and masked is not None:
            run.masks[masked] = relevance_filter.channels
        relevance, residual = run.back(target_part)
        values.append(relevance)
        residuals.append(residual)
    return torch.cat(values), torch.cat(residuals)


def _output_of(name: str, rewritten: Rewritten, plan: Plan, network: nn.Module) -> fx.Node:
    """Return the node of what a module of the network returned."""
    name = name_inside(network, name)
    names = [known for known, _ in network.named_modules() if known]
    if name not in names:
        raise ValueError(f"module must be one of {', '.join(names)}, got {name!r}.")
    for node in plan.steps:
        if node.name == rewritten.outputs.get(name):
            return node
    raise ValueError(f"No relevance reaches the output of {name!r}; choose another module.")


class Run:
    """Some inputs on their way through a network and back."""

    def __init__(self, plan: Plan, x: Tensor) -> None:
        self.plan = plan
        self.x = x.clone().requires_grad_()
        self.masks: dict[fx.Node, Sequence[int]] = {}  # channels whose relevance may pass
        self.kept: list[Tensor] = []  # relevance of constants, sample by sample
        # what travels beside the signals, by the node that made it
        self.origins: dict[fx.Node, Tensor] = {}
        self.supports: dict[fx.Node, Tensor] = {}
        self.lows: dict[fx.Node, Tensor] = {}
        self.highs: dict[fx.Node, Tensor] = {}
        if plan.composite.bounds is not None:
            low, high = plan.composite.bounds
            self.lows[plan.input] = low.to(x).expand_as(x)
            self.highs[plan.input] = high.to(x).expand_as(x)

    def back(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the relevance of the input and the residual."""
        with torch.enable_grad(), self._hooked():
            logits = self.plan.network(self.x)
        if not bool(logits.isfinite().all()):
            raise ValueError(
                "The network's outputs must be finite to be propagated; some are NaN or infinite."
            )

        chosen = logits.detach().gather(1, target[:, None])
        start = torch.zeros_like(logits).scatter_(1, target[:, None], chosen)
        (values,) = torch.autograd.grad(logits, self.x, start)
        if not bool(values.isfinite().all()):
            raise Refused(
                "Relevance is NaN or infinite on this network: a rule divides by sums that cancel. "
                "Use bias: spread, or another composite than epsilon."
            )

        promised = start.sum(1) - sum(self.kept, torch.zeros(()))
        return values, promised - values.flatten(1).sum(1)

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        """Attach the rules to the modules for a while."""
        handles = [
            step.module.register_forward_hook(partial(self._after, step))
            for step in self.plan.steps.values()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _after(self, step: Step, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
        """Follow what travels beside the signals, and attach the rule."""
        with torch.no_grad():
            self._follow(step, args)
        output = attach(step, args, output)

        channels = self.masks.get(step.node)
        if channels is not None:
            mask = _mask(channels, output)
            output.register_hook(lambda relevance: relevance * mask)
        if has_gaps(step):
            self._keep(step, args, output)
        return output

    def _keep(self, step: Step, args: tuple[Any, ...], output: Tensor) -> None:
        """Note the relevance of what lies between the signals: padding, and joined constants."""
        gaps = 1 - self._support(step, args, {})

        def keep(relevance: Tensor) -> None:
            of_samples = (relevance * gaps).movedim(step.layer.rows, 0)
            self.kept.append(of_samples.reshape(len(self.x), -1).sum(1))

        output.register_hook(keep)

    # --- what travels beside the signals ---

    def _follow(self, step: Step, args: tuple[Any, ...]) -> None:
        source = step.receivers[0]
        if step.is_weighted:
            step.layer.origin = self.origins.get(source)
            step.layer.support = self.supports.get(source)
            if source in self.lows:
                step.layer.bounds = self.lows[source], self.highs[source]

        if step.has_origin:
            self.origins[step.node] = self._beside(step, args, self.origins)
        if step.has_support:
            self.supports[step.node] = self._support(step, args, self.supports)
        if step.has_bounds:
            ends = [self._beside(step, args, values) for values in (self.lows, self.highs)]
            if isinstance(step.module, ops.Add):
                ends = self._sums_of_bounds(step)
            self.lows[step.node] = torch.minimum(*ends)
            self.highs[step.node] = torch.maximum(*ends)

    def _beside(self, step: Step, args: tuple[Any, ...], values: dict[Any, Tensor]) -> Tensor:
        """Return what a module makes of values beside its signals; 0 where there is none."""
        own = []
        for source, arg in zip(step.node.args, args, strict=True):
            is_signal = source in step.signals
            own.append(values.get(source, torch.zeros_like(arg)) if is_signal else arg)
        return step.module.forward(*own)

    def _support(
        self, step: Step, args: tuple[Any, ...], values: dict[Any, Tensor]
    ) -> Float[Tensor, "..."]:
        """Return 1 where an output is a signal and 0 where something was put between."""
        own = []
        for source, arg in zip(step.node.args, args, strict=True):
            is_signal = source in step.signals
            default = torch.ones_like(arg) if is_signal else torch.zeros_like(arg)
            own.append(values.get(source, default).detach())
        return step.module.forward(*own) if isinstance(step.module, LINEAR_MOVES) else own[0]

    def _sums_of_bounds(self, step: Step) -> list[Tensor]:
        """Return the bounds of a sum of signals, some of which may be subtracted."""
        low: Any = 0
        high: Any = 0
        for alpha, source in zip(step.module.alphas, step.signals, strict=True):
            ends = alpha * self.lows[source], alpha * self.highs[source]
            low = low + torch.minimum(*ends)
            high = high + torch.maximum(*ends)
        return [low, high]


def _mask(channels: Sequence[int], output: Tensor) -> Tensor:
    """Return 1 for the channels whose relevance may pass."""
    n_channels = output.shape[1]
    known = range(n_channels)
    unknown = [channel for channel in channels if channel not in known]
    if unknown:
        raise ValueError(f"channels must be between 0 and {n_channels - 1}, got {unknown}.")

    mask = torch.zeros_like(output[0].detach())
    mask[list(channels)] = 1
    return mask
