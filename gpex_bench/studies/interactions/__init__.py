"""How much of an answer is due to interactions of image regions, and how much to the background.

The model-level question of Sobol-SBSA (anonymous2022sbsa; our reconstruction): `planted` cuts
images by their planted truth, `shares` decomposes the answers of one network, `contrasts` compares
networks.
"""
