"""Other libraries that drive autofr's policies: an NNI tuner, an Optuna sampler."""
