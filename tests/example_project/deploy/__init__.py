"""The deployment files of the example project, as their own tools see them, and as they run."""
