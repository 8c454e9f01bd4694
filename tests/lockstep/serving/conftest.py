"""The application over the tests' candidate."""

import pytest

from lockstep.serving.app import App
from tests.lockstep.bundle.candidate import bundle


@pytest.fixture(scope="session")
def app() -> App:
    return App(bundle(version="7"))
