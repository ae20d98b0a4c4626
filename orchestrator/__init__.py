"""Plans and runs trials. Knows Ray, knows no tensors."""
