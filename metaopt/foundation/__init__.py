"""What lies beneath the core: it knows torch and Python, and nothing of algorithms."""
