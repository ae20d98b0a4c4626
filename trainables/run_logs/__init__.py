"""What scripts log to TensorBoard and W&B, read without either."""
