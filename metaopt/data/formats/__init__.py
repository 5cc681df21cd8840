"""Read and write file formats: pictures, UAI models and answers, alist parity checks."""
