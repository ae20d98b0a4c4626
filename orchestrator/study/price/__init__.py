"""What a plan will cost: from measured or piloted rates."""
