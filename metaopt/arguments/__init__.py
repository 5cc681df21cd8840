"""How public constructors and calls check what they are given, and refuse it in one sentence."""
