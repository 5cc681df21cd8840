"""Readers and writers of file formats: pictures, UAI models and answers, alist parity checks."""
