"""Circuits through Qiskit's primitives: on Aer's simulators, and on IBM's machines and their offline stand-ins."""

from typing import TYPE_CHECKING, Any

from annealtrain.errors import InputError, nearest
from annealtrain.runtime.array_types import Array
from annealtrain.solvers.gate_model.circuit import Circuit
from annealtrain.solvers.remote import called

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

AER = "aer_simulator"
MISSING = "solver.backend=qiskit needs Qiskit ({error}): pip install 'annealtrain[gate]'"


def quantum_circuit(circuit: Circuit) -> "QuantumCircuit":
    """Return the same circuit for Qiskit, spin mu on qubit mu, without measurements."""
    from qiskit import QuantumCircuit
    from qiskit.circuit.library import PauliEvolutionGate
    from qiskit.quantum_info import SparsePauliOp

    n = len(circuit.angles)
    gates = QuantumCircuit(n)
    gates.h(range(n))
    for spin, angle in enumerate(circuit.angles.tolist()):
        gates.ry(angle, spin)
    for pair, angles in zip(circuit.pairs.tolist(), circuit.pair_angles.tolist(), strict=True):
        # Qiskit's labels are read from the right: "YZ" is Z on the pair's first spin, Y on its second.
        gates.append(PauliEvolutionGate(SparsePauliOp(["YZ", "ZY"], angles), time=0.5), pair)
    return gates


class QiskitDevice:
    """A device by name: `aer_simulator`, `aer_simulator_METHOD`, an IBM machine, or its stand-in `fake_MACHINE`.

    qubits: how many it has. Raises InputError for a missing package, an unknown name, and a refused account.
    """

    def __init__(self, name: str) -> None:
        try:
            import qiskit  # noqa: F401
        except ImportError as error:
            raise InputError(MISSING.format(error=error)) from error
        self.name = name
        self.is_remote = not name.startswith(("aer", "fake_"))
        self.backend = (_aer if name.startswith("aer") else _fake if name.startswith("fake_") else _ibm)(name)
        self.qubits: int = self.backend.num_qubits

    def measure(self, circuit: Circuit, shots: int, seed: int) -> Array:
        """Return spins (shots, n) in {-1, +1}; the same seed gives the same ones on a simulator.

        The circuit is transpiled to the device's gates and connections. A machine's job that fails is sent again.
        Raises InputError where a job fails, MachineLost after a machine's last.
        """
        import numpy as np
        from qiskit.exceptions import QiskitError
        from qiskit.primitives import BackendSamplerV2
        from qiskit.transpiler import generate_preset_pass_manager

        gates = quantum_circuit(circuit)
        gates.measure_all()
        manager = generate_preset_pass_manager(1, backend=self.backend, seed_transpiler=seed)
        if self.is_remote:
            from qiskit_ibm_runtime.executor_sampler import Sampler

            sampler: Any = Sampler(mode=self.backend)
        else:
            sampler = BackendSamplerV2(backend=self.backend, options={"seed_simulator": seed})
        runnable = manager.run(gates)

        def job() -> Any:
            return sampler.run([runnable], shots=shots).result()[0].data.meas

        try:
            if self.is_remote:
                found, _ = called(job, f"a job of {self.name}", failures=(QiskitError, OSError))
            else:
                found = job()
        except (QiskitError, OSError) as error:
            text = " ".join(str(error).split())
            raise InputError(f"solver.device={self.name} failed ({text}): try again, or {AER}") from error
        ones = np.array([list(bits) for bits in found.get_bitstrings()]) == "1"
        spins: Array = 1 - 2 * ones[:, ::-1].astype(np.int64)
        return spins


def _aer(name: str) -> Any:
    try:
        from qiskit_aer import AerSimulator
    except ImportError as error:
        raise InputError(MISSING.format(error=error)) from error
    # The others cannot turn a spin by any angle, or take no shots.
    methods = ("statevector", "density_matrix", "matrix_product_state", "extended_stabilizer")
    names = {AER: "automatic"} | {f"{AER}_{method}": method for method in methods}
    if name not in names:
        listed = ", ".join(names)
        raise InputError(f"solver.device={name!r} is not known{nearest(name, names)}: choose one of {listed}")
    return AerSimulator(method=names[name])


def _fake(name: str) -> Any:
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise InputError(MISSING.format(error=error)) from error
    kinds = [kind for kind in dir(fake_provider) if kind.startswith("Fake") and "Backend" not in kind]
    machines = {f"fake_{kind[4:].removesuffix('V2').lower()}": kind for kind in kinds}
    if name not in machines:
        raise InputError(f"solver.device={name!r} is not known{nearest(name, machines)}: try fake_torino")
    return getattr(fake_provider, machines[name])()


def _ibm(name: str) -> Any:
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
        from qiskit_ibm_runtime.exceptions import IBMError
    except ImportError as error:
        raise InputError(MISSING.format(error=error)) from error
    from qiskit.exceptions import QiskitError

    remedy = f"save a token with qiskit_ibm_runtime.QiskitRuntimeService.save_account, or take solver.device={AER}"
    try:
        service = QiskitRuntimeService()
    except (IBMError, OSError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"solver.device={name}: IBM's machines need an account ({text}): {remedy}") from error
    try:
        return service.backend(name)
    except (QiskitError, OSError) as error:
        names = sorted(backend.name for backend in service.backends())
        raise InputError(f"solver.device={name!r} is not one of {', '.join(names)}{nearest(name, names)}") from error
