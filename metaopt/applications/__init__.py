"""Run complete pipelines from files to files, built from the rest of the library."""
