"""A gate-model solver: circuits that mimic imaginary time evolution, Sec. 5 of the paper."""

from collections.abc import Sequence

import numpy as np

from annealtrain.errors import InputError
from annealtrain.hamiltonian.quadratic import QuadraticForm
from annealtrain.runtime import memory
from annealtrain.runtime.array_types import Array
from annealtrain.runtime.validation import READS, checked, number, one_of
from annealtrain.solvers.effort import Effort, counted, plural, result_bytes
from annealtrain.solvers.gate_model.circuit import Circuit, amplitudes, block_polarisations, measure, mimicking_circuit
from annealtrain.solvers.solver import Solver

MAX_SPINS = 24


class ImaginaryTimeCircuit(Solver):
    """`solver=itemc`. One circuit a unit, its angles in closed form, measured num_reads times; all shots are kept.

    num_reads: shots; training uses the one of the lowest energy, which is not the most frequent one.
    tau: imaginary time, in units of 1 / (the strongest field or pair of the unit).
    backend: `statevector`, this project's own simulation, units of at most 24 spins; `block`, each spin as a density
    matrix that meets its partners one by one, for larger units; `qiskit`, the circuit of `statevector` on `device`.
    device: with backend=qiskit, one of Aer's simulators, an IBM machine, or its stand-in: see QiskitDevice.
    """

    @checked("solver.", num_reads=READS, tau=number(above=0), backend=one_of("statevector", "block", "qiskit"))
    def __init__(
        self, num_reads: int = 20, tau: float = 1.0, backend: str = "statevector", device: str | None = None
    ) -> None:
        if (backend == "qiskit") != (device is not None):
            raise InputError(
                f"solver.device={device!r} with solver.backend={backend}: a device, such as aer_simulator, "
                "goes with backend=qiskit and only with it"
            )
        self.num_reads, self.tau, self.backend = num_reads, tau, backend
        if device is not None:
            from annealtrain.solvers.gate_model.qiskit_device import QiskitDevice

            self.device = QiskitDevice(device)

    @property
    def is_metered(self) -> bool:  # type: ignore[override]
        """Whether its circuits go to a device, which may be a machine with a queue."""
        return self.backend == "qiskit"

    def check(self, *, bits: int, weights: Sequence[int]) -> None:
        for k, count in enumerate(weights):
            self._check_spins(count * bits, f"layer {k}")

    def effort(self, *, units: int, weights: int, bits: int) -> Effort:
        shots = counted(self.num_reads)
        what = f"measuring {plural(shots, 'shot')} for {plural(units, 'unit')}"
        size = result_bytes(units, shots, weights) + 16.0 * shots * weights * bits
        return Effort(what, size, units * shots * weights * bits * 1e-8, "solver.num_reads")

    def _check_spins(self, spins: int, what: str) -> None:
        most = {"statevector": MAX_SPINS, "qiskit": self.device.qubits if self.backend == "qiskit" else 0}
        if self.backend in most and spins > most[self.backend]:
            raise InputError(
                f"{what} needs {spins} spins; solver.backend={self.backend} takes at most {most[self.backend]}: "
                "lower bits, take a smaller model, or solver.backend=block"
            )

    def sample(self, form: QuadraticForm, seed: np.random.SeedSequence) -> tuple[Array, dict[str, float]]:
        live, shots = form.couplings.indices, self.num_reads
        levels = np.zeros((shots, form.S0.size), dtype=np.int32)
        stats = {"shots": float(shots), "pairs": 0.0}
        if live.size:
            self._check_spins(live.size * form.bits, "a unit")
            spins, pairs = self._shots(*self._spin_model(form), seed)
            levels[:, live] = form.encoding.levels(spins)
            stats["pairs"] = float(pairs)
        return levels, stats

    def _shots(self, h: Array, J: Array, seed: np.random.SeedSequence) -> tuple[Array, int]:
        """Return measured spins (shots, spins), and how many pairs of spins a gate has joined."""
        generator = np.random.Generator(np.random.PCG64(seed))
        if self.backend == "block":
            up = (1 + block_polarisations(h, J, self.tau)) / 2
            return 2 * (generator.random((self.num_reads, len(h))) < up) - 1, int(np.count_nonzero(np.triu(J, 1)))
        circuit = mimicking_circuit(h, J, self.tau)
        return self._measured(circuit, generator), len(circuit.pairs)

    def _measured(self, circuit: Circuit, generator: np.random.Generator) -> Array:
        if self.backend == "qiskit":
            return self.device.measure(circuit, self.num_reads, int(generator.integers(2**31)))
        size = 3 * 8 * 2 ** len(circuit.angles)
        memory.require(size, f"a state of {len(circuit.angles)} spins", "lower bits, or solver.backend=block")
        return measure(amplitudes(circuit), self.num_reads, generator)

    def _spin_model(self, form: QuadraticForm) -> tuple[Array, Array]:
        """Return h' (spins,) and J' (spins, spins) of the live weights, Eqs. (8), (18)."""
        live, size = form.couplings.indices, form.couplings.indices.size * form.bits
        memory.require(5 * 8 * size**2, f"a dense Hamiltonian of {size} spins", "lower bits or take a smaller layer")
        scale = form.encoding.spin_scale
        return np.kron(form.gradient(form.S0)[live], scale), np.kron(form.couplings.live_J, np.outer(scale, scale))
