"""The proc-receive hook of the simulated Gerrit's repositories; `git receive-pack` starts it as a script, on its
own.

It decides nothing. It hands its standard streams, over which git asks what to do with a push (githooks(5),
proc-receive), to the server on the socket whose descriptor the server put in the environment, and stays until the
server closes that socket.
"""

import os
import socket

DESCRIPTOR = "CI_GATE_SANDBOX_DESCRIPTOR"


def main() -> None:
    """Pass standard input, output and error to the server, then wait for it to finish."""
    with socket.socket(fileno=int(os.environ[DESCRIPTOR])) as server:
        socket.send_fds(server, [b"."], [0, 1, 2])
        server.recv(1)


if __name__ == "__main__":
    main()
