"""What a wheel holds: the package, and the folders beside it that a run needs."""

from setuptools import find_packages, setup

# `gpex_bench.plugins.homes.beside` finds them in a checkout and in an installed package.
BESIDE = {
    "gpex_bench.methods": "methods",
    "gpex_bench.workflow": "workflow",
    "gpex_bench.profiles": "profiles",
    "gpex_bench.configs": "config",
    "gpex_bench.docs": "docs",
}

setup(
    packages=[*find_packages(include=["gpex_bench", "gpex_bench.*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={
        "gpex_bench": ["**/*.j2", "**/*.css", "**/*.js", "**/*.smk"],
        "gpex_bench.workflow": ["Snakefile", "rules/*.smk", "scripts/*.py"],
        "gpex_bench.profiles": ["*/profile.yaml"],
        "gpex_bench.configs": ["*.yaml", "studies/*.yaml"],
        "gpex_bench.docs": ["references.bib"],
    },
)
