"""Association with sensitive features, and fairness metrics."""
