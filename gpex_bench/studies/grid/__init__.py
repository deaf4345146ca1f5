"""Settings of surrogates, networks or datasets, compared on a grid."""
