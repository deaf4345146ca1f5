"""A network as a graph of modules of known kinds, however its forward is written.

`rewrite(network, x)` runs the network on two batches like x and notes every torch function that
sees the input (`recording`); what both batches have in common (`generalising`) becomes a
`torch.fx.GraphModule` (`building`, `site`; one file for each family of functions), whose outputs
are compared with the network's. What it does not know becomes an `Other`; what cannot be followed
at all raises `CannotRewrite` with place and reason.

What holds for the graph of `Rewritten.network`:

- Its nodes are one `placeholder`, `get_attr` (constants, only as inputs of Concatenate, Stack and
  MatrixProduct), `call_module` and one `output`. There are no functions and no whole numbers: moves
  find the number of rows in their own input.
- Each module is called by one node, with signals (or constants) as its only, positional arguments,
  and gives one tensor. It has no parts, hooks, in-place operations or re-parametrised weights. It
  is in eval mode, and its parameters need no gradient. Weights of a module that the network calls
  several times are one tensor in several modules: change none in place.
- Modules are torch.nn's own, or those of `operations`. Inputs and outputs of Add, Product, Divide,
  Shift and Scale have one shape: repeated signals are expanded before by a Move. Divisions by and
  differences to constants are Scale and Shift; -x is a Scale. The larger of two signals is Stack,
  then Extreme. `Resample` is linear interpolation. `MatrixProduct` has an `equation` if it is an
  einsum, and may have one constant input.
- `node.meta` has "place" (of the original module; `place(node)` is its name for messages), "name"
  (of the original function) and "shape" (whole numbers, and `Rows(times)` for so many times the
  number of rows).
- Writing into a part of a signal is a Scale (by a mask), a Move and an Add. A function with a
  gradient of its own (`torch.autograd.Function`) is what its forward does.
- Dropout in eval mode, identities, `contiguous` and the like leave no node.

`Rewritten.outputs` maps the names of the original's modules to the nodes of what they returned.
Rows are counted when `Rewritten.network` runs as the original's would be (`contract/cost.py`); not
when an `fx.Interpreter` runs its graph.
"""

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.rewritten import Rewritten, place, rewrite

__all__ = ["CannotRewrite", "Rewritten", "place", "rewrite"]
