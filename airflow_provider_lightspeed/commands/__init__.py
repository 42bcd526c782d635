"""What the commands of ``cli.py`` do. Each module is imported when its command runs, so it may import what it likes."""
