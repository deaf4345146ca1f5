"""What a removal score owes to a fill that explainer and metric share."""
