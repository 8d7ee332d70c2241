"""The operating system: processes, threads, signals, locks, torchrun."""
