"""The health of a deployment, for operators: as values, as JSON and as text."""
