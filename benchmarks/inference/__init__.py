"""The parts of `benchmarks.graphical_models`: methods, rivals, and what each claim is measured on."""
