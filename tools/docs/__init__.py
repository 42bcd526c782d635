"""The pages of the site that are made from the package itself: reference, data dictionary, diagrams, errors."""
