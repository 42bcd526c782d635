"""Where a task's work can be looked at: locations of datasets, and the buttons of a task instance's page."""
