"""`python -m gpex_bench.cli` is `gpex-bench`."""

import sys

from gpex_bench.cli import main

sys.exit(main())
