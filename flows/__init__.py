"""What a person starts: the flow, and the `lockstep` command. Prefect and DVC live only here."""
