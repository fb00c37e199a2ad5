"""The same circuits through Qiskit: amplitudes, the order of bits, transpilation, and what is refused."""

import types

import numpy as np
import pytest
from test_circuit import model

from annealtrain.errors import InputError
from annealtrain.solvers.gate_model import qiskit_device
from annealtrain.solvers.gate_model.circuit import amplitudes, mimicking_circuit
from annealtrain.solvers.gate_model.imaginary_time import ImaginaryTimeCircuit
from annealtrain.solvers.gate_model.qiskit_device import QiskitDevice, quantum_circuit
from annealtrain.testing import SolverContract, check_result, random_problem

pytest.importorskip("qiskit", reason="Qiskit is not installed: pip install 'annealtrain[gate]'")
pytest.importorskip("qiskit_aer", reason="qiskit-aer is not installed: pip install 'annealtrain[gate]'")
pytest.importorskip("qiskit_ibm_runtime", reason="qiskit-ibm-runtime is not installed: pip install 'annealtrain[gate]'")


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_both_engines_have_equal_amplitudes(n):
    from qiskit.quantum_info import Statevector

    circuit = mimicking_circuit(*model(n), tau=1.0)
    # Qiskit counts qubit 0 as the lowest bit.
    state = Statevector(quantum_circuit(circuit).decompose(reps=3).reverse_bits()).data
    np.testing.assert_allclose(amplitudes(circuit), state, rtol=0, atol=1e-10)


def test_aer_has_the_same_amplitudes_after_transpilation():
    from qiskit.transpiler import generate_preset_pass_manager

    circuit, device = mimicking_circuit(*model(7), tau=1.0), QiskitDevice("aer_simulator_statevector")
    gates = generate_preset_pass_manager(1, backend=device.backend).run(quantum_circuit(circuit).reverse_bits())
    gates.save_statevector()
    state = np.asarray(device.backend.run(gates).result().get_statevector())
    wanted = amplitudes(circuit)
    state = state * np.exp(-1j * np.angle(state[np.abs(wanted).argmax()])) * np.sign(wanted[np.abs(wanted).argmax()])
    np.testing.assert_allclose(state, wanted, rtol=0, atol=1e-10)


def test_shots_are_in_the_order_of_the_spins_and_follow_their_seed():
    circuit = mimicking_circuit(np.array([9.0, -9.0, 9.0, 9.0]), np.zeros((4, 4)), tau=20.0)
    device = QiskitDevice("aer_simulator")
    np.testing.assert_array_equal(device.measure(circuit, 5, seed=0), np.tile([-1, 1, -1, -1], (5, 1)))
    spread = mimicking_circuit(*model(4), tau=1.0)
    once, again, other = (device.measure(spread, 40, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.slow
class TestAer(SolverContract):
    reaches_ground_state = True

    def make(self):
        return ImaginaryTimeCircuit(800, backend="qiskit", device="aer_simulator")


def test_a_machine_with_few_connections_and_noise():
    """Transpiled to the gates and the line of five qubits of a real machine's stand-in; noise costs little here."""
    problem = random_problem(M=2, N=5, bits=1)
    solver = ImaginaryTimeCircuit(200, backend="qiskit", device="fake_manila")
    result = solver.solve(problem)
    check_result(problem, result)
    assert result.energies[:, 0].sum() < result.energies.mean(axis=1).sum()
    with pytest.raises(InputError, match=r"layer 0 needs 6 spins; solver.backend=qiskit takes at most 5"):
        solver.check(bits=2, weights=[3])


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("aer_simulater", "solver.device='aer_simulater' is not known; did you mean 'aer_simulator'"),
        ("aer_simulator_stabilizer", "is not known.*choose one of aer_simulator, aer_simulator_statevector"),
        ("fake_manilla", "solver.device='fake_manilla' is not known; did you mean 'fake_manila'"),
    ],
)
def test_unknown_devices(device, message):
    with pytest.raises(InputError, match=message):
        QiskitDevice(device)


def test_a_machine_without_an_account_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    import qiskit_ibm_runtime

    def refuse():
        raise qiskit_ibm_runtime.accounts.AccountNotFoundError("Unable to find account.")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", refuse)
    with pytest.raises(
        InputError, match=r"ibm_torino: IBM's machines need an account \(.*Unable to find account.*save_account"
    ):
        ImaginaryTimeCircuit(backend="qiskit", device="ibm_torino")


class Service:
    """IBM's service with one machine, which is a stand-in that runs here."""

    def backends(self):
        return [types.SimpleNamespace(name="ibm_manila")]

    def backend(self, name):
        from qiskit.exceptions import QiskitError

        if name != "ibm_manila":
            raise QiskitError("no such machine")
        return qiskit_device._fake("fake_manila")


def test_a_machine_by_name_goes_through_ibms_sampler(monkeypatch):
    import qiskit_ibm_runtime

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", Service)
    device = QiskitDevice("ibm_manila")
    assert (device.is_remote, device.qubits) == (True, 5)
    spins = device.measure(mimicking_circuit(np.array([9.0, -9.0]), np.zeros((2, 2)), tau=20.0), 50, seed=0)
    np.testing.assert_array_equal(np.sign(spins.mean(axis=0)), [-1, 1])
    with pytest.raises(InputError, match=r"solver.device='ibm_manilla' is not one of ibm_manila; did you mean"):
        QiskitDevice("ibm_manilla")


def test_a_failed_job_is_one_line(monkeypatch):
    from qiskit.exceptions import QiskitError
    from qiskit.primitives import BackendSamplerV2

    def fail(self, *arguments, **settings):
        raise QiskitError("the queue is closed")

    monkeypatch.setattr(BackendSamplerV2, "run", fail)
    with pytest.raises(InputError, match=r"aer_simulator failed \(.*the queue is closed.*\): try again"):
        QiskitDevice("aer_simulator").measure(mimicking_circuit(*model(2), tau=1.0), 5, seed=0)
