"""Symmetric relevance gain of superpixels: insertion minus deletion, both from one ordering.

Source: bluecher2024decoupling, as the authors' code has it: SLIC superpixels (compactness 1), each
with its mean relevance, the probability of the target, and the area between the curve from the
least and that from the most relevant superpixel on. Theirs has 25 to 5,000 superpixels and 15
points, evenly spaced in the logarithm of their number, over the share of pixels that is gone; here
there are about 50, the points are 16 equal shares of the superpixels, and the area is over these.
Pages of the paper beyond its abstract could not be read. Columns of tables are superpixels of their
own. `srg` is the same of single pixels.
"""

from __future__ import annotations

from gpex_bench.metrics.srg import SRG
from gpex_bench.types import settings


@settings
class SRGSegments(SRG):
    """Area between the two removal curves of superpixels."""

    title = "symmetric relevance gain of superpixels"
    unit = "segment"
    cost = "none of its own, reads the removal curve of segments (32 forward rows)"
