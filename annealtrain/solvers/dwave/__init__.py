"""D-Wave's quantum annealers, and their emulation; may import what `solvers` may, D-Wave's tools when used."""
