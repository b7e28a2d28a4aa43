"""What each part of the recipe for the shipped weights is worth: the same short training, one change at a time."""
