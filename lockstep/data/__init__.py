"""Sources, schema, expectations and feature encoding."""
