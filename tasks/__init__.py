"""The stages of dvc.yaml, a module each."""

import importlib.util
import os
import sys

# `dvc repro` runs whatever `python` the PATH names.
if "DVC_STAGE" in os.environ and importlib.util.find_spec("pyarrow") is None:
    sys.exit(
        f"error: {sys.executable} lacks the pipeline's libraries. "
        "Activate the project's environment first: `. .venv/bin/activate`."
    )
