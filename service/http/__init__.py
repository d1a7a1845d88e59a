"""HTTP in general: the problems that refuse requests, and the keys and tokens that authenticate them."""
