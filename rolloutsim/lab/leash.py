"""Run a command until standard input ends: ``python leash.py COMMAND...``.

Its parent holds the other end of the input. When the parent is gone, however it went, so is the command.
"""

import os
import subprocess
import sys
import threading


def main() -> int:
    """Run the command; returns its exit code."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def hold() -> None:
        while os.read(0, 4096):
            pass
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()

    threading.Thread(target=hold, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
