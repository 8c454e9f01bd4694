"""What a method of resampling costs on training rows of any number.

`python -m benchmarks.balancing smotenc data/raw/census.parquet --ratio 1.0` after `make run` prints the rows made, the
seconds of processor time and the peak of the process, imports included. `--rows` takes the first ones; larger tables
come from `benchmarks.make_table`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from tasks._params import load_params
from tasks.resample import ResampleParams, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("method")
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--ratio", type=float, default=1.0)
    options = parser.parse_args()
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["data"]
    table = pq.read_table(options.table)
    table = table.filter(pc.equal(table["split"], "train")).slice(0, options.rows)
    train = table.drop_columns(["split", *data["not_features"]])
    params = load_params(ResampleParams, Path("params.yaml")).model_copy(
        update={"method": options.method, "ratio": options.ratio}
    )
    started = time.process_time()
    report = run(train, params).report
    seconds = time.process_time() - started
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**20
    print(
        f"{options.method}: {report['before']['n_rows']:,} rows, {report['after']['n_made']:,} made, "
        f"{seconds:.0f} s, peak {peak:.1f} GiB; {report.get('fidelity')}"
    )


if __name__ == "__main__":
    main()
