"""Properties of small molecules predicted from their atoms: E(n) graph networks and transformers on QM9."""
