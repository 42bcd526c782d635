"""What the main job costs; ``make bench`` prints JSON."""
