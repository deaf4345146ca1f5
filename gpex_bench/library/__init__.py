"""The verbs of the public surface (`import gpex_bench`): the workflow, from a notebook."""
