"""Dataset debugging: find wrong training labels through the samples that explain mistakes.

The experiment of Akbarnejad et al. 2023 (akbarnejad2023gpex): `labels` swaps training labels,
`repair` shows training samples and corrects those that are shown, `rankings` decides which are
shown first, `comparisons` sums up.
"""
