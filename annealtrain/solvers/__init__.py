"""Who finds low energies of a layer's Hamiltonians; may import `hamiltonian` and `runtime`."""
