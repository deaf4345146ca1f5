"""The pipeline as functions of values: no stage knows a path or the config."""
