"""The scoring server. Needs neither TensorFlow, Prefect nor DVC."""
