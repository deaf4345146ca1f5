"""What functions of torch are, by their names, and how a recording treats them."""

from __future__ import annotations

from typing import Any


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# What is asked of a tensor without reading its values.
ABOUT = words(
    """
    shape size dim ndim ndimension numel nelement dtype device layout requires_grad grad_fn is_leaf
    __len__ stride is_contiguous element_size itemsize nbytes storage_offset get_device data_ptr
    is_floating_point is_complex is_cuda is_cpu is_sparse is_quantized is_nested is_mkldnn is_meta
    is_mps is_xpu is_signed is_inference is_same_size names has_names _version __hash__ __repr__
    __format__ result_type can_cast promote_types is_tensor _is_view is_pinned output_nr
    untyped_storage storage is_shared retain_grad register_hook grad __dir__ is_conj is_neg
    """
)
# What makes a tensor like another one, whose values have no part in it.
LIKE = words(
    """
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones
    new_full new_empty new_tensor
    """
)
RANDOM = words(
    """
    rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like
    randint_like normal_ uniform_ bernoulli_ exponential_ random_ cauchy_ geometric_ log_normal_
    """
)
DROPOUTS = words(
    """
    dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout alpha_dropout_ feature_dropout
    feature_dropout_ feature_alpha_dropout feature_alpha_dropout_ rrelu rrelu_ native_dropout
    """
)
# What gives the same values, so that it leaves no trace.
CASTS = frozenset({"to", "type_as", "type", "float", "double", "half", "bfloat16"})
SAME = frozenset({"contiguous", "clone", "alias", "detach", "requires_grad_", "data", "cpu"})


def name_of(function: Any) -> str:
    """Return the name of a function; of a property, its name."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":
        return function.__self__.__name__
    return name


def is_in_place(name: str) -> bool:
    """Return whether a function of this name changes its first argument."""
    return name.endswith("_") and not name.startswith("_")


def is_training(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether a dropout is on; the flag may have no name."""
    if kwargs.get("p") == 0:
        return False
    default = "rrelu" not in name  # dropout is on where nothing says otherwise
    flags = [arg for arg in args if isinstance(arg, bool)]
    return bool(kwargs.get("training", kwargs.get("train", flags[0] if flags else default)))
