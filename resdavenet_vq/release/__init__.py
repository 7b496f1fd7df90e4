"""The ten models released in 2020: their archives, download, files and import."""
