"""Calls of the functions behind torch.nn's layers: they become these layers again."""

# ruff: noqa: PLR0913 - the arguments are torch's

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, fx, nn
from torch.nn import functional as F

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.site import NotKnown, Number, Site, is_signal, n_axes, translates

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
INSTANCE_NORMS = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def with_weights(site: Site, module: nn.Module, **tensors: Any) -> nn.Module:
    """Return a module with copies of these parameters."""
    for name, tensor in tensors.items():
        setattr(module, name, site.parameter(tensor))
    return module


# --- linear ---


@translates("linear")
def linear(site: Site, input: fx.Node, weight: Any, bias: Any = None) -> fx.Node:
    """Make a linear layer; one output without an axis is a matrix with one row."""
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not is_signal(input):
        raise NotKnown
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    module = with_weights(site, layer, weight=weight, bias=bias)
    return site.emit(module, input)


class Convolution(NamedTuple):
    """The arguments of `convolution`, in torch's order."""

    input: fx.Node
    weight: Any
    bias: Any = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1


@translates("conv1d", "conv2d", "conv3d", arguments=Convolution)
def convolution(site: Site, given: Convolution) -> fx.Node:
    """Make a convolution."""
    if not isinstance(given.weight, Tensor) or not is_signal(given.input):
        raise NotKnown

    n_places = given.weight.ndim - 2
    layer = CONVOLUTIONS[n_places - 1](
        given.weight.shape[1] * given.groups,
        given.weight.shape[0],
        tuple(given.weight.shape[2:]),  # type: ignore[arg-type]
        _each(given.stride, n_places),
        given.padding if isinstance(given.padding, str) else _each(given.padding, n_places),
        _each(given.dilation, n_places),
        given.groups,
        given.bias is not None,
        device="meta",
    )
    module = with_weights(site, layer, weight=given.weight, bias=given.bias)
    return site.emit(module, given.input)


class TransposedConvolution(NamedTuple):
    """The arguments of `transposed_convolution`, in torch's order."""

    input: fx.Node
    weight: Any
    bias: Any = None
    stride: Any = 1
    padding: Any = 0
    output_padding: Any = 0
    groups: int = 1
    dilation: Any = 1


@translates(
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", arguments=TransposedConvolution
)
def transposed_convolution(site: Site, given: TransposedConvolution) -> fx.Node:
    """Make a transposed convolution."""
    if not isinstance(given.weight, Tensor) or not is_signal(given.input):
        raise NotKnown

    n_places = given.weight.ndim - 2
    layer = TRANSPOSED[n_places - 1](
        given.weight.shape[0],
        given.weight.shape[1] * given.groups,
        tuple(given.weight.shape[2:]),  # type: ignore[arg-type]
        _each(given.stride, n_places),
        _each(given.padding, n_places),
        _each(given.output_padding, n_places),
        given.groups,
        given.bias is not None,
        _each(given.dilation, n_places),
        device="meta",
    )
    module = with_weights(site, layer, weight=given.weight, bias=given.bias)
    return site.emit(module, given.input)


def _each(value: Any, n: int) -> Any:
    """Return one number for each axis of space."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return numbers * n if len(numbers) == 1 else numbers


# --- norms ---


class BatchNorm(NamedTuple):
    """The arguments of `batch_norm`, in torch's order."""

    input: fx.Node
    running_mean: Any
    running_var: Any
    weight: Any = None
    bias: Any = None
    training: bool = False
    momentum: Number = 0.1
    eps: Number = 1e-05


@translates("batch_norm", arguments=BatchNorm)
def batch_norm(site: Site, given: BatchNorm) -> fx.Node:
    """Make a batch norm with running statistics, of the rank that it runs on."""
    if site.step.call.function is not F.batch_norm:
        raise NotKnown  # torch.batch_norm has another order
    if given.training or given.running_mean is None:
        raise CannotRewrite(
            f"The batch norm in {site.step.call.place} normalises by the batch, so that rows "
            "influence one another; call eval() and keep running statistics."
        )
    return _running_norm(
        site,
        given.input,
        given.running_mean,
        given.running_var,
        given.weight,
        given.bias,
        eps=given.eps,
    )


def _running_norm(site: Site, input: fx.Node, *tensors: Any, eps: Number) -> fx.Node:
    mean, variance, weight, bias = tensors
    rank = n_axes(input)
    if rank not in BATCH_NORMS or not isinstance(mean, Tensor):
        raise NotKnown

    is_affine = weight is not None or bias is not None
    norm: Any = BATCH_NORMS[rank](len(mean), eps, affine=is_affine, device=mean.device)
    norm.running_mean = site.builder.copied(mean)
    norm.running_var = site.builder.copied(variance)

    if weight is not None:
        norm.weight = site.parameter(weight)
    if bias is not None:
        norm.bias = site.parameter(bias)
    return site.emit(norm, input)


class InstanceNorm(NamedTuple):
    """The arguments of `instance_norm`, in torch's order."""

    input: fx.Node
    running_mean: Any = None
    running_var: Any = None
    weight: Any = None
    bias: Any = None
    use_input_stats: bool = True
    momentum: Number = 0.1
    eps: Number = 1e-05


@translates("instance_norm", arguments=InstanceNorm)
def instance_norm(site: Site, given: InstanceNorm) -> fx.Node:
    """Make an instance norm; with running statistics it is a batch norm."""
    if site.step.call.function is not F.instance_norm:
        raise NotKnown
    if not given.use_input_stats:
        return _running_norm(
            site,
            given.input,
            given.running_mean,
            given.running_var,
            given.weight,
            given.bias,
            eps=given.eps,
        )
    rank = n_axes(given.input)
    if rank not in INSTANCE_NORMS:
        raise NotKnown

    norm = INSTANCE_NORMS[rank](
        given.input.meta["shape"][1], given.eps, affine=given.weight is not None
    )
    if given.weight is not None:
        with_weights(site, norm, weight=given.weight, bias=given.bias)
    return site.emit(norm, given.input)


class LayerNorm(NamedTuple):
    """The arguments of `layer_norm`, in torch's order."""

    input: fx.Node
    normalized_shape: Any
    weight: Any = None
    bias: Any = None
    eps: Number = 1e-05
    cudnn_enable: bool = True


@translates("layer_norm", arguments=LayerNorm)
def layer_norm(site: Site, given: LayerNorm) -> fx.Node:
    """Make a layer norm."""
    norm = nn.LayerNorm(_each(given.normalized_shape, 1), given.eps, elementwise_affine=False)
    norm.elementwise_affine = given.weight is not None
    module = with_weights(site, norm, weight=given.weight, bias=given.bias)
    return site.emit(module, given.input)


@translates("rms_norm")
def rms_norm(
    site: Site, input: fx.Node, normalized_shape: Any, weight: Any = None, eps: Any = None
) -> fx.Node:
    """Make a norm by the root mean square."""
    norm = nn.RMSNorm(list(_each(normalized_shape, 1)), eps, elementwise_affine=False)
    norm.elementwise_affine = weight is not None
    module = with_weights(site, norm, weight=weight)
    return site.emit(module, input)


class GroupNorm(NamedTuple):
    """The arguments of `group_norm`, in torch's order."""

    input: fx.Node
    num_groups: int
    weight: Any = None
    bias: Any = None
    eps: Number = 1e-05
    cudnn_enabled: bool = True


@translates("group_norm", arguments=GroupNorm)
def group_norm(site: Site, given: GroupNorm) -> fx.Node:
    """Make a group norm."""
    norm = nn.GroupNorm(given.num_groups, given.input.meta["shape"][1], given.eps, affine=False)
    norm.affine = given.weight is not None
    module = with_weights(site, norm, weight=given.weight, bias=given.bias)
    return site.emit(module, given.input)


@translates("local_response_norm")
def local_response_norm(
    site: Site,
    input: fx.Node,
    size: int,
    alpha: Number = 1e-4,
    beta: Number = 0.75,
    k: Number = 1.0,
) -> fx.Node:
    """Make a norm by neighbouring channels."""
    norm = nn.LocalResponseNorm(size, alpha, beta, k)
    return site.emit(norm, input)


# --- pooling ---


class MaxPool(NamedTuple):
    """The arguments of `max_pool`, in torch's order."""

    input: fx.Node
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    return_indices: bool = False


def _max_pool(site: Site, given: MaxPool) -> fx.Node:
    """Make a max pooling; NotKnown if the places of the largest are read."""
    stride = given.stride
    pool = _pooling(site, "MaxPool")
    stride = stride or given.kernel_size  # torch takes an empty list for it
    module = pool(
        given.kernel_size, stride, given.padding, given.dilation, ceil_mode=given.ceil_mode
    )
    return site.emit(module, given.input)


def _adaptive_max_pool(
    site: Site, input: fx.Node, output_size: Any, return_indices: bool = False
) -> fx.Node:
    pool = _pooling(site, "AdaptiveMaxPool")
    return site.emit(pool(output_size), input)


def _adaptive_avg_pool(site: Site, input: fx.Node, output_size: Any) -> fx.Node:
    pool = _pooling(site, "AdaptiveAvgPool")
    return site.emit(pool(output_size), input)


class AvgPool(NamedTuple):
    """The arguments of `avg_pool`, in torch's order."""

    input: fx.Node
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None


def _avg_pool(site: Site, given: AvgPool) -> fx.Node:
    stride = given.stride
    options = {} if given.divisor_override is None else {"divisor_override": given.divisor_override}
    stride = stride or given.kernel_size
    pool = _pooling(site, "AvgPool")
    module = pool(
        given.kernel_size,
        stride,
        given.padding,
        given.ceil_mode,
        given.count_include_pad,
        **options,
    )
    return site.emit(module, given.input)


def _pooling(site: Site, kind: str) -> Any:
    """Return the class of a pooling by the number of axes; NotKnown for its second output."""
    digit = site.name[site.name.index("pool") + len("pool")]
    if site.path not in ((), (0,)) or site.n_axes != int(digit) + 2:
        raise NotKnown
    return getattr(nn, f"{kind}{digit}d")


for _digit in "123":
    translates(f"max_pool{_digit}d", f"max_pool{_digit}d_with_indices", arguments=MaxPool)(
        _max_pool
    )
    translates(f"adaptive_max_pool{_digit}d", f"adaptive_max_pool{_digit}d_with_indices")(
        _adaptive_max_pool
    )
    translates(f"adaptive_avg_pool{_digit}d")(_adaptive_avg_pool)
    translates(f"avg_pool{_digit}d", arguments=AvgPool)(_avg_pool)
