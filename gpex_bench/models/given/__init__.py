"""Networks that were made elsewhere: any `torch.nn.Module` as a network of this suite."""
