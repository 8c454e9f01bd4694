"""Whether a model holds out when its rows are not what they were: noise, gaps, mix-ups, other groups, an adversary."""
