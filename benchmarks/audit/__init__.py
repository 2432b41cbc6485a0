"""Which labels and predictions are wrong: detection, what it is for, and the failures of models on unseen nodes."""
