"""The benchmarks compute the same as the engine, and report what does not."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # last: what is tested may be installed elsewhere

import autodiff  # noqa: E402
from autodiff.op import OPS  # noqa: E402
from benchmarks import (  # noqa: E402
    by_hand,
    floor,
    kept,
    op_table,
    ours,
    report,
    roofline,
    textbook,
    threads,
)
from benchmarks.contest import (  # noqa: E402
    OURS,
    PEERS,
    Entry,
    contest,
    difference,
    environment,
)
from benchmarks.contestant import DoesNotFit  # noqa: E402
from benchmarks.labels import label, side  # noqa: E402
from benchmarks.peers.install import name_of, requirements  # noqa: E402
from benchmarks.targets import TARGETS, judge  # noqa: E402
from benchmarks.workloads import GATES, WORKLOADS, pack_gates, unpack_gates  # noqa: E402

N_STEPS = 3


def outcome(module, workload, mode, n_steps):
    """Loss, gradients and weights after so many steps, as one dictionary."""
    run = module.prepare(workload, mode)
    assert n_steps % run.steps_per_call == 0
    for _ in range(n_steps // run.steps_per_call):
        run.step()
    loss, gradients = run.gradients()
    found = {"loss": loss}
    found.update({f"g/{name}": g for name, g in gradients.items()})
    found.update({f"w/{name}": w for name, w in run.weights().items()})
    return found


@pytest.fixture(params=WORKLOADS)
def workload(request):
    return WORKLOADS[request.param].shrunk()


@pytest.mark.parametrize(
    ("module", "mode"),
    [(textbook, "call"), (by_hand, "call"), *((ours, m) for m in ours.MODES if m != "scan")],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_yardsticks_agree_with_the_engine(module, mode, workload):
    expected = outcome(ours, workload, "call", N_STEPS)
    found = outcome(module, workload, mode, N_STEPS)
    assert found.keys() == expected.keys()
    assert difference(expected, found) < 1e-12


def test_scan_agrees_with_calls(workload):
    expected = outcome(ours, workload, "call", workload.n_scan)
    assert difference(expected, outcome(ours, workload, "scan", workload.n_scan)) < 1e-12


@pytest.mark.parametrize("name", ["lstm-post", "vae-post"])
def test_hand_written_c_agrees(name):
    workload = WORKLOADS[name]
    try:
        found = outcome(floor, workload, "scan", workload.n_scan)
    except (DoesNotFit, OSError) as error:
        pytest.skip(str(error))
    assert difference(outcome(by_hand, workload, "call", workload.n_scan), found) < 1e-12


def test_hand_written_c_refuses_other_models():
    with pytest.raises(DoesNotFit):
        floor.prepare(WORKLOADS["mlp-post"], "scan")
    with pytest.raises(DoesNotFit):
        floor.prepare(WORKLOADS["lstm-128"], "scan")


def test_samples_differ_and_are_the_same_each_time(workload):
    first, again = workload.samples(), workload.samples()
    assert len(first) == workload.n_samples
    for sample, twin in zip(first, again, strict=True):
        for x, y in zip(sample, twin, strict=True):
            np.testing.assert_array_equal(x, y)
    assert any(not np.array_equal(x, y) for x, y in zip(first[0], first[1], strict=True))
    assert all(len(x) == workload.n_scan for x in workload.stacked())


def test_gates_are_packed_and_unpacked():
    weights = WORKLOADS["lstm-post"].weights()
    for order in (GATES, ("i", "f", "g", "o")):
        parts = unpack_gates(*pack_gates(weights, order), order)
        assert all(np.array_equal(parts[name], weights[name]) for name in parts)
        assert len(parts) == 8


# ---- contests ------------------------------------------------------------------------------

RIVAL = """
from benchmarks import textbook
LIBRARY, MODES = None, {"right": "", "wrong gradient": "", "wrong weights": "", "misfit": ""}

def prepare(workload, mode):
    from benchmarks.contestant import DoesNotFit
    if mode == "misfit":
        raise DoesNotFit("no such layer")
    run = textbook.prepare(workload, "call")
    gradients, weights = run.gradients, run.weights
    if mode == "wrong gradient":
        def run_gradients():
            loss, g = gradients()
            name = next(iter(g))
            return loss, {**g, name: g[name] * (1.0 + 1e-8)}
        run.gradients = run_gradients
    if mode == "wrong weights":
        run.weights = lambda: {k: w + 1e-8 for k, w in weights().items()}
    return run
"""


def test_a_rival_that_disagrees_is_reported_and_not_timed(tmp_path, monkeypatch):
    (tmp_path / "mock_rival.py").write_text(RIVAL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    modes = ["right", "wrong gradient", "wrong weights", "misfit"]
    entries = [
        OURS[0],
        *[Entry("mock_rival", mode) for mode in modes],
        Entry("mock_rival_that_is_not_there", "right"),
        Entry("benchmarks.control", "call"),
        Entry("benchmarks.peers.jax_jit", "call", "jax", peer=True),
    ]
    records = contest(
        "mlp-post",
        entries,
        n_threads=1,
        pythons={False: sys.executable},
        rounds=2,
        seconds=0.001,
        shrunk=True,
        say=lambda text: None,
    )
    assert len(records) == len(entries)
    for key in ("ours/call", "mock_rival/right", "control/call"):
        assert len(records[key]["times"]) == 2
        assert records[key]["difference"] < 1e-12
    for mode in modes[1:3]:
        assert "times" not in records[f"mock_rival/{mode}"]
        assert "disagrees" in records[f"mock_rival/{mode}"]["reason"]
    assert records["mock_rival/misfit"]["does_not_fit"]
    assert "No module named" in records["mock_rival_that_is_not_there/right"]["reason"]
    assert "environment" in records["jax_jit/call"]["reason"]


def test_no_contestant_gets_another_blas_kernel(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    variables = environment(2)
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & variables.keys()
    assert variables["OPENBLAS_NUM_THREADS"] == variables["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("theirs", "gap"),
    [
        ({"a": [1.0, 2.0]}, 0.0),
        ({"a": [1.0, 2.2]}, 0.1),
        ({"a": [1.0, np.nan]}, np.inf),
        ({"b": [1.0, 2.0]}, np.inf),
        ({"a": [1.0]}, np.inf),
    ],
)
def test_difference(theirs, gap):
    found = difference({"a": np.array([1.0, 2.0])}, {key: np.array(x) for key, x in theirs.items()})
    assert found == pytest.approx(gap)


def test_median_and_spread():
    found = kept.median_and_spread([3.0, 1.0, 2.0, 5.0, 4.0])
    assert found["low"] < 3.0 == found["median"] < found["high"]
    assert kept.median_and_spread([2.0])["median"] == 2.0


# ---- rivals' files ---------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [*OURS, *PEERS], ids=lambda entry: entry.key)
def test_every_contestant_has_a_file_with_the_three_names(entry):
    file = ROOT / f"{entry.module.replace('.', '/')}.py"
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names.update(getattr(target, "id", "") for target in node.targets)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    assert {"LIBRARY", "MODES", "prepare"} <= names
    assert label(entry.key) != entry.key
    assert side(entry.key) == ("rival" if entry.peer else side(entry.key))
    if entry.peer:
        installed = {name_of(r) for r in requirements()}
        assert {"sklearn": "scikit-learn"}.get(entry.package, entry.package) in installed


def test_targets_name_contestants():
    keys = {entry.key for entry in [*OURS, *PEERS]}
    for target in TARGETS:
        assert {target.ours, *target.others} <= keys
        assert target.workload in WORKLOADS or target.what == "recording"


# ---- sizes ------------------------------------------------------------------------------------


def test_every_op_is_measured():
    cases = list(op_table.cases((1, 8)))
    assert {op.name for op, *_ in cases} == set(OPS)
    assert any(factor == 8 and op.elementwise for op, _, factor, _ in cases)
    assert any(factor == 8 and op.name == "matmul" for op, _, factor, _ in cases)


def test_operations_are_counted():
    B, T, H, n = 32, 50, 128, 32
    rows = B * T
    forward = 2 * rows * n * 4 * H + 2 * (rows - B) * H * 4 * H + 2 * rows * H * n
    backward = 2 * rows * n * 4 * H + 4 * (rows - B) * H * 4 * H + 4 * rows * H * n
    assert roofline.costs(WORKLOADS["lstm-128"])["flops"] == forward + backward


def test_products_and_updates_on_threads_run():
    for step in (threads.product(3, 4, 5), threads.adam(8)):
        assert (
            0.0 < threads.least(step, [autodiff.get_threads()], 0.001)[autodiff.get_threads()] < 1e6
        )


# ---- the report -------------------------------------------------------------------------------


def entry(times, **more):
    return {
        "times": times,
        "difference": 1e-15,
        "compile_seconds": 0.5,
        "import_seconds": 0.1,
        "bytes": {"peak": 50_000_000, "imported": 40_000_000},
        "installed_bytes": 1_000_000,
        "versions": {"python": "3", "numpy": "2"},
        **more,
    }


@pytest.fixture
def measured():
    """As it is measured, section by section, tiny."""
    entries = {
        "ours/call": entry([2e-6, 3e-6, 2e-6]),
        "ours/eager": entry([1e-4, 1e-4, 1e-4]),
        "textbook/call": entry([4e-4, 6e-4, 4e-4]),
        "jax_jit/resident": entry([5e-6, 5e-6, 5e-6], versions={"numpy": "2", "jax": "9"}),
        "mygrad_tensor/call": {"reason": "disagrees with ours by 3e-03; not timed"},
        "sklearn_mlp/call": {"reason": "has no LSTM", "does_not_fit": True},
    }
    return {
        "contest": {"lstm-post/1": {"entries": entries}},
        "roofline": {
            "lstm-post/1": {
                **roofline.costs(WORKLOADS["lstm-post"]),
                "products_seconds": 1e-6,
                "functions_seconds": 1e-6,
                "gflops": 20.0,
            }
        },
        "recording": {"5": {"reason": "a fault"}},
        "passes": {
            "lstm-post": {
                "": {"times": [1e-6]},
                "stack": {"times": [2e-6]},
                "all": {"times": []},
            },
            "vae-post": {"reason": "the process died"},
        },
        "memory": {"call": {"begun": 100, "ended": 200, "n_steps": 10}},
        "growth": {"n_steps/autodiff, eager/5": {"seconds": 1e-3, "bytes": 1_000_000}},
        "ops": {
            "cases": [
                {
                    "op": "add",
                    "shapes": [[3, 4], []],
                    "reference": [2e-6, 4e-6],
                    "compiled": [1e-6, 1e-6],
                }
            ]
        },
    }


@pytest.fixture
def results(measured):
    """As in results.json."""
    machine = {"processor": "one", "cores": 2, "system": "Linux", "python": "3"}
    met = kept.libraries(measured["contest"]["lstm-post/1"]["entries"])
    sections = {
        name: {"found": kept.shown(name, found), "load": [1.0]} for name, found in measured.items()
    }
    return {"machine": machine, "libraries": met, **sections}


def test_the_report_says_what_was_measured_and_what_was_not(results, tmp_path):
    (tmp_path / "results.json").write_text(kept.as_text(results))
    report.write(tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| textbook NumPy graph"))
    assert "400 µs" in row
    assert "| 200.00 |" in row
    assert "- MyGrad: disagrees with ours by 3e-03; not timed" in text
    assert "scikit-learn" not in text  # what does not fit is left out
    assert "× 2.00" in text
    assert "a fault" in text
    assert "geometric mean" in text.replace("\n", " ")


def test_pictures_are_drawn(results, tmp_path):
    plots = pytest.importorskip("benchmarks.plots", reason="matplotlib is not installed")
    drawn = plots.draw(results, tmp_path)
    assert drawn == ["bars-post.png", "growth.png", "passes.png"]
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in drawn)
    assert plots.draw({}, tmp_path) == []


def test_targets_are_judged(results):
    verdicts = {(v.target.workload, v.target.text): v for v in judge(results)}
    assert verdicts["lstm-post", "eager against the textbook graph"].passed
    assert verdicts["lstm-post", "call against the textbook graph"].passed
    resident = verdicts["lstm-post", "call against JAX jit, data resident"]
    assert resident.passed is False
    assert (resident.reached, resident.against) == ("2.50 ×", "jax_jit/resident")
    assert verdicts["vae-post", "call against hand-written C"].passed is None
    assert verdicts["lstm-post", "peak memory against the best of JAX and PyTorch"].passed


def test_ratio_compares_within_rounds():
    assert kept.ratio([3.0, 30.0, 3.0], [1.0, 10.0, 1.0]) == pytest.approx(3.0)


def test_what_is_stored_is_short_and_loses_nothing_that_is_shown(results):
    assert json.loads(kept.as_text(results)) == results
    entries = results["contest"]["found"]["lstm-post/1"]["entries"]
    assert entries["textbook/call"]["over"]["ours/eager"] == 4.0
    assert "times" not in entries["ours/call"]
    assert "sklearn_mlp/call" not in entries  # what does not fit is in no table
    assert results["libraries"]["jax"]["version"] == "9"
    for given, expected in [(1.23456789, 1.2346), (1.23449996, 1.23449996), (1 / 3, 0.33333)]:
        assert kept.shown("memory", {"call": {"begun": given}}) == {"call": {"begun": expected}}


def test_the_stored_results_are_small():
    assert (ROOT / "benchmarks" / "results.json").stat().st_size <= 60_000
