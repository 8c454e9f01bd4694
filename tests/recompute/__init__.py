"""Every number of a run's model card, computed once more: by scikit-learn, scipy, fairlearn, shap and numpy alone.

``python -m tests.recompute [FOLDER]`` does it for a finished run of two classes and one threshold. It starts from what
the run sealed - the tables, the models and the predictions - and shares no code with what it checks: nothing of
`lockstep.evaluation` or `lockstep.fairness`. What has to be drawn is drawn as documented, from the same seeds.
"""
