"""A small project, which runs in the test's process or in processes of its own."""
