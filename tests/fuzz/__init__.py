"""Every reader and command meets damaged, foreign and hostile input: the answer is a result or a sentence."""
