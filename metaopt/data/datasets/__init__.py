"""Read whole data sets: folders of pictures and volumes, digits, Omniglot, citation networks."""
