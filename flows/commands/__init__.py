"""Commands of `lockstep`, mounted by `flows.cli`; each imports what it needs when it runs."""
