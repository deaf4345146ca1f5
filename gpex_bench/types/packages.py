"""Files inside installed packages: found without importing the package, checked by content.

Data and weights that others ship inside a package need no download. Importing such a package may
cost seconds and load much that is not needed, so that only its file is looked up.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# how a message ends about a package of the extra that is not there
INSTALL = "is not installed; it comes with: pip install 'gpex-bench[pretrained]'"


def packaged_file(package: str, inside: str, sha256: str, is_extra: bool = False) -> Path:
    """Return the path of a file inside an installed package.

    Args:
        package: as it is imported.
        inside: path of the file inside the package.
        sha256: of the expected file.
        is_extra: whether the package comes with the extra `pretrained`, not with the suite.

    Raises:
        ValueError: the package is not installed, lacks the file, or the file is another one; says
            what to install.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        remedy = INSTALL if is_extra else "is not installed; reinstall gpex-bench"
        raise ValueError(f"The package {package}, which holds {inside}, {remedy}.")

    path = Path(spec.submodule_search_locations[0]) / inside
    found = _sha256(path) if path.is_file() else "none, as there is no such file"
    if found != sha256:
        raise ValueError(
            f"{inside} of the package {package} changed: sha256 {found}, expected {sha256}. The "
            "installed package is damaged or of another version; reinstall the versions in "
            "requirements.lock."
        )
    return path


@cache
def _sha256(path: Path) -> str:
    """Return the digest of a file; installed files do not change while a process runs."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
