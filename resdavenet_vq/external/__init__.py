"""Units, segments and features that were made elsewhere: reading them, joining them to a split, writing them as ours."""
