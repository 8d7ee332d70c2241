"""How members train: the recipe, and the segment between two scorings."""
