"""What a wheel holds: the package, and the folders beside it that a run needs."""

from setuptools import find_packages, setup

# `gpex_bench.plugins.homes.beside` finds them in a checkout and in an installed package.
BESIDE = {
    "gpex_bench.methods": "methods",
    "gpex_bench.workflow": "workflow",
    "gpex_bench.workflow.rules": "workflow/rules",
    "gpex_bench.workflow.scripts": "workflow/scripts",
    "gpex_bench.profiles": "profiles",
    "gpex_bench.profiles.default": "profiles/default",
    "gpex_bench.profiles.gpu": "profiles/gpu",
    "gpex_bench.configs": "config",
    "gpex_bench.configs.sets": "config/sets",
    "gpex_bench.configs.studies": "config/studies",
    "gpex_bench.docs": "docs",
}
FILES = ["*.j2", "*.css", "*.js", "*.smk", "*.yaml", "Snakefile", "references.bib"]

setup(
    packages=[*find_packages(include=["gpex_bench", "gpex_bench.*"]), *BESIDE],
    package_dir=BESIDE,
    package_data={"": FILES},
)
