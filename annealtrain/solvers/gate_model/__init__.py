"""Circuits that mimic imaginary time evolution; may import what `solvers` may, Qiskit when used."""
