"""A private RabbitMQ for the tests: loopback, its own node, folder, password and Erlang port mapper."""

import os
import secrets
import socket
from pathlib import Path
from typing import Any

import amqp

from tests.services.find import MissingServerError
from tests.services.server import Server, free_port

SCRIPTS = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"
"""Where Debian's package keeps what does not switch accounts."""
CONFIG = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = mill
default_pass = {password}
loopback_users = none
log.console = true
log.file = false
"""


class _PortMapper(Server):
    """Erlang's, which a node would otherwise start by itself and leave behind."""

    def command(self) -> list[str]:
        return ["epmd", "-address", "127.0.0.1", "-port", str(self.port)]

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class RabbitServer(Server):
    """Keeps over a stop what RabbitMQ itself does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = find_rabbitmq()
        self._password = secrets.token_hex(16)
        self._node_port = free_port()
        self._mapper = _PortMapper(folder)

    @property
    def url(self) -> str:
        """Holds the password."""
        return f"amqp://mill:{self._password}@127.0.0.1:{self.port}//"

    def command(self) -> list[str]:
        config = self.folder / "rabbitmq.conf"
        config.touch(mode=0o600)
        config.write_text(CONFIG.format(port=self.port, password=self._password))
        return [str(self._program)]

    def popen_options(self) -> dict[str, Any]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        own = {
            "HOME": self.folder,  # the cookie
            "ERL_EPMD_PORT": self._mapper.port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"mill{self.port}@localhost",
            "RABBITMQ_DIST_PORT": self._node_port,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            # The script becomes the server, instead of a parent that waits for it; no shell on its input.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput",
        }
        return {"env": kept | {name: str(value) for name, value in own.items()}}

    def answers(self) -> bool:
        try:
            with self._connected():
                return True
        except (OSError, amqp.AMQPError):
            return False

    def delete_queue(self, name: str) -> None:
        """With what is in it, if it is there."""
        with self._connected() as connection:
            connection.channel().queue_delete(name)

    def _connected(self) -> amqp.Connection:
        login = {"userid": "mill", "password": self._password}
        return amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5, **login)

    def start(self) -> None:
        self._mapper.start()
        super().start()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._mapper.stop()


def find_rabbitmq() -> Path:
    """The server's own script."""
    for folder in sorted(Path("/").glob(SCRIPTS), reverse=True):
        return folder / "rabbitmq-server"
    raise MissingServerError("these tests need RabbitMQ: install the package rabbitmq-server (Debian, Ubuntu)")
