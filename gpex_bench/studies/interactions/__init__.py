"""How much of what a network says of an image is due to interactions of its regions, and how much to the background.

The model-level question of Sobol-SBSA (anonymous2022sbsa; our reconstruction): `plan` holds the settings, `planted`
cuts images by their planted truth, `shares` decomposes the answers of one network.
"""
