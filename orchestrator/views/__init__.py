"""What is shown in a terminal: progress, standing, explanations."""
