from __future__ import annotations

import pytest
import torch
from driving import BROWSER, DRIVER
from made_explanations import make_data, make_explanations
from torch_geometric.data import Data

from gragr_explain.explain import NodeExplanations
from gragr_explain.history import FieldRecord, GradientHistory, Trajectory


@pytest.fixture(scope="session")
def data() -> Data:
    return make_data()


@pytest.fixture(scope="session")
def explanations(data: Data) -> NodeExplanations:
    return make_explanations(data, class_names=["cat", "dog", "eel"])


@pytest.fixture(scope="session")
def history(data: Data) -> GradientHistory:
    size = data.num_nodes
    rising, falling = Trajectory(size), Trajectory(size)
    field = FieldRecord.empty(torch.zeros(size, 4))
    for step in range(5):
        rising.add(torch.full((size,), step / 5))
        falling.add(torch.linspace(1, 2, size) / (1 + step))
        field.update(torch.ones(size, 4))
    curves = {"loss": [2.0, 1.0, 0.5], "val_acc": [0.2, 0.6, 0.8], "conflict_share": [0.3, 0.2, 0.1]}
    return GradientHistory(
        fields={"training": field},
        trajectories={"confidence": rising, "norm": falling},
        conflict_count=torch.arange(size).remainder(3).float(),
        curves=curves,
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (BROWSER and DRIVER):
        pytest.skip("Chromium and chromedriver are needed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()
