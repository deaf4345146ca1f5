"""The verbs of the public surface (`import gpex_bench`): what the workflow does, from a notebook."""
