"""The library behind the stages: sealing, data, fairness, balance, models, evaluation, bundles, serving."""
