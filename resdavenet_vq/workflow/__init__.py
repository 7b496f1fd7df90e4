"""Planning of a run: paths, parameters, figures and jobs."""
