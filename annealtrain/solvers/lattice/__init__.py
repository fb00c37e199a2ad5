"""Coarse grids as closest-vector problems, by the triangle of J: weight after weight; may import what `solvers` may."""
