"""Dataset debugging: find wrong training labels through the training samples that explain a network's mistakes.

The experiment of Akbarnejad et al. 2023 (akbarnejad2023gpex): `labels` spoils a dataset, `repair` shows
training samples and corrects those that are shown, `rankings` decides which are shown first, `outcome` sums up.
"""
