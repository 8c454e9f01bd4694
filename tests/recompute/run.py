"""What a finished run left behind, opened."""

from __future__ import annotations

import functools
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from scipy import sparse
from scipy.special import logit

from lockstep.bundle.scorer import Scorer
from lockstep.data.encoding import Encoder
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.tables import from_parquet, raw_columns
from lockstep.sealing.vault import open_vault

AUDIT, SEEN, MADE, WEIGHT = "lockstep:audit:", "lockstep:seen", "lockstep:made", "lockstep:weight"


class Run:
    """A run in `folder`, which has a card: `reports/model_card.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.params = yaml.safe_load((folder / "params.yaml").read_text())
        self.card = json.loads((folder / "reports" / "model_card.json").read_text())
        self._stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
        self._vault = open_vault(self.params["project"], folder / "lockstep.key-id")
        self.target, self.positive = self.params["data"]["target"], self.params["data"]["positive"]
        self.sensitive, self.evaluate = self.params["data"]["sensitive"], self.params["evaluate"]
        if self.positive is None:
            raise SystemExit("This recomputes cards of two classes.")
        if self.params["debias"]["method"] == "thresholds":
            raise SystemExit("This recomputes cards of one threshold for everybody.")
        self.seed, self.samples = self.evaluate["seed"], self.evaluate["bootstrap_samples"]
        self.suite = json.loads(self._path("validate", "expectations").read_text())["expectations"]
        suite = self._path("validate", "expectations")
        self._public = public_categories(parse_suite(suite.read_bytes(), str(suite)))

    def _path(self, stage: str, argument: str) -> Path:
        words = shlex.split(self._stages[stage]["cmd"])
        return self.folder / words[words.index(f"--{argument}") + 1]

    def content(self, stage: str, argument: str) -> bytes:
        """What the sealed file holds that dvc.yaml hands to `stage`."""
        return self._vault.read(self._path(stage, argument), role=None, schema=None)

    @functools.cache  # noqa: B019 - a run lives as long as the process
    def table(self, stage: str, argument: str) -> pa.Table:
        return from_parquet(self.content(stage, argument))

    def frame(self, stage: str, argument: str) -> pd.DataFrame:
        return self.table(stage, argument).to_pandas()

    def labels(self, table: pa.Table) -> Any:
        """1 for the positive class, shape (n,)."""
        return (table[self.target].to_pandas().astype(str) == str(self.positive)).to_numpy(dtype=int)

    @functools.cached_property
    def encoder(self) -> Encoder:
        return Encoder.from_json(self.content("evaluate", "encoder"))

    @functools.cached_property
    def shipped(self) -> Scorer:
        return Scorer(self.encoder, self.content("evaluate", "model"))

    @functools.cached_property
    def floating(self) -> Scorer:
        return Scorer(self.encoder, self.content("evaluate", "reference"))

    def raw(self, table: pa.Table) -> dict[str, Any]:
        """Columns that the model reads."""
        return raw_columns(table, [column.name for column in self.encoder.inputs])

    def logits(self, scorer: Scorer, table: pa.Table) -> Any:
        return logit(scorer.probability(self.raw(table)))

    def indicators(self, table: pa.Table) -> Any:
        """A column of zeros and ones for each code, and the numeric inputs, as the alternatives see them."""
        features = self.encoder.encode(self.raw(table))
        n_rows, n_coded = features.codes.shape
        places = (np.repeat(np.arange(n_rows), n_coded), features.codes.ravel())
        ones = np.ones(n_rows * n_coded, dtype=np.float32)
        coded = sparse.csr_matrix((ones, places), shape=(n_rows, max(self.encoder.n_codes, 1)))
        return sparse.hstack([coded, sparse.csr_matrix(features.numeric)], format="csr")

    @functools.cached_property
    def predictions(self) -> pd.DataFrame:
        return self.frame("evaluate", "predictions")

    def groups(self, table: pa.Table, feature: str) -> Any:
        """Name of each row's group: a public category that enough rows share, else one for all others."""
        name = AUDIT + feature if AUDIT + feature in table.column_names else feature
        values = [None if value is None else str(value) for value in table[name].to_pylist()]
        rows, least = Counter(values), self.params["data"]["min_category_rows"]
        public = {value for value in self._public.get(feature, ()) if rows[value] >= least}
        names = ["(missing)" if v is None else v if v in public else "(other)" for v in values]
        return np.array(names, dtype=object)

    def all_groups(self, table: pa.Table) -> dict[str, Any]:
        """`groups` of each sensitive feature, and of all of them together."""
        found = {feature: self.groups(table, feature) for feature in self.sensitive}
        if len(found) > 1:
            joined = [" & ".join(names) for names in zip(*found.values(), strict=True)]
            rows, least = Counter(joined), self.params["data"]["min_category_rows"]
            own = [name if rows[name] >= least else "(other)" for name in joined]
            found[" & ".join(self.sensitive)] = np.array(own, dtype=object)
        return found

    def drawn(self, n_rows: int, wanted: int) -> Any:
        """Numbers of the rows that are looked at where not all are."""
        return np.random.default_rng(self.seed).permutation(n_rows)[:wanted]
