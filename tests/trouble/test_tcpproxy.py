"""The proxy that tests put between us and a server does what it is told."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from time import monotonic, process_time

import psutil
import pytest

from tests.fixtures.tcpproxy import TcpProxy, address_of
from tests.fixtures.waiting import until

SHORT_S = 0.1
"""So long a socket is listened to before it counts as silent."""


class Echo:
    """A server that sends back what it hears, in upper case if it is the second one; it counts its connections."""

    def __init__(self, name: str = "") -> None:
        self.name = name.encode()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.peers: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.peers.append(peer)
            self.threads.append(threading.Thread(target=self._answer, args=[peer]))
            self.threads[-1].start()

    def _answer(self, peer: socket.socket) -> None:
        try:
            while data := peer.recv(65536):
                peer.sendall(self.name + data)
        except OSError:  # it was reset
            pass
        peer.close()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    with TcpProxy(echo.address) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    with dial(proxy) as client:
        assert ask(client, b"hello") == b"hello"
        yield client


def dial(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), 10)


def ask(client: socket.socket, question: bytes) -> bytes:
    client.sendall(question)
    return client.recv(65536)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SHORT_S)
    try:
        client.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_it_forwards_much_in_both_directions(client: socket.socket) -> None:
    sent = os.urandom(5_000_000)
    sender = threading.Thread(target=client.sendall, args=[sent])
    sender.start()
    received = bytearray()
    while len(received) < len(sent):
        received += client.recv(1_000_000)
    sender.join()
    assert received == sent


def test_the_end_of_one_side_reaches_the_other(proxy: TcpProxy, client: socket.socket) -> None:
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b"last"
    assert client.recv(100) == b""
    until(lambda: not proxy.connections)


@pytest.mark.parametrize("direction", ["to_server", "to_client", "both"])
def test_stalled_it_is_silent_and_afterwards_loses_nothing(
    proxy: TcpProxy, client: socket.socket, direction: str
) -> None:
    proxy.stall(direction)  # type: ignore[arg-type]
    client.sendall(b"anybody?")
    assert is_silent(client)
    with dial(proxy) as newcomer:
        newcomer.sendall(b"and me?")
        assert is_silent(newcomer)
        proxy.resume()
        assert newcomer.recv(100) == b"and me?"
    assert client.recv(100) == b"anybody?"


def test_stalled_it_does_not_spin_when_clients_leave(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.stall()
    client.close()
    began, spent = monotonic(), process_time()
    until(lambda: monotonic() - began > 0.5)
    baseline = process_time() - spent
    assert baseline < 0.4
    assert proxy.connections == 1
    proxy.resume()
    until(lambda: not proxy.connections)


def test_frozen_are_the_old_ones_only(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.freeze()
    client.sendall(b"anybody?")
    assert is_silent(client)
    with dial(proxy) as another:
        assert ask(another, b"hello") == b"hello"
        assert (proxy.connections, proxy.frozen) == (2, 1)
    proxy.resume()
    assert client.recv(100) == b"anybody?"


def test_cut_resets_and_serves_the_next(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.connections == 0
    with dial(proxy) as another:
        assert ask(another, b"again") == b"again"


def test_refused_are_the_new_ones_only(proxy: TcpProxy, client: socket.socket) -> None:
    port = proxy.port
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    assert ask(client, b"still here") == b"still here"
    proxy.resume()
    assert proxy.port == port
    with dial(proxy) as another:
        assert ask(another, b"again") == b"again"


def test_delayed_in_both_directions(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.delay(0.1)
    began = monotonic()
    assert ask(client, b"slow") == b"slow"
    assert 0.2 <= monotonic() - began < 5
    proxy.resume()


def test_half_closed_towards_the_client_the_server_still_hears(
    proxy: TcpProxy, client: socket.socket, echo: Echo
) -> None:
    proxy.half_close("to_client")
    assert client.recv(1) == b""
    client.sendall(b"into the void")
    assert proxy.connections == 1


def test_half_closed_towards_the_server_it_sees_the_end(proxy: TcpProxy, client: socket.socket, echo: Echo) -> None:
    proxy.half_close("to_server")
    assert client.recv(1) == b""  # the echo has ended, and that is passed on
    client.close()
    until(lambda: not proxy.connections)


def test_retargeted_new_connections_go_elsewhere(proxy: TcpProxy, client: socket.socket) -> None:
    second = Echo("2:")
    proxy.retarget(*second.address)
    with dial(proxy) as another:
        assert ask(another, b"who?") == b"2:who?"
    assert ask(client, b"who?") == b"who?"
    second.close()


def test_a_server_that_is_not_there_resets(proxy: TcpProxy, echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    proxy.retarget(*address)
    with pytest.raises(ConnectionResetError), dial(proxy) as client:
        client.recv(1)


def test_nothing_is_left_of_it(echo: Echo) -> None:
    with TcpProxy(echo.address) as warm, dial(warm):
        pass
    here = psutil.Process()
    until(lambda: not any(thread.name.startswith("tcpproxy") for thread in threading.enumerate()))
    until(lambda: all(peer.fileno() < 0 for peer in echo.peers))
    before = here.num_fds()
    for _ in range(20):
        proxy = TcpProxy(echo.address)
        clients = [dial(proxy) for _ in range(3)]
        assert ask(clients[0], b"x") == b"x"
        until(lambda p=proxy: p.connections == 3)  # type: ignore[misc]
        proxy.stall()
        proxy.close()
        proxy.close()
        with pytest.raises(RuntimeError, match="closed"):
            proxy.stall()
        for client in clients:
            client.close()
    until(lambda: here.num_fds() == before, message=f"{here.num_fds()} descriptors, {before} before")
    assert not any(thread.name.startswith("tcpproxy") for thread in threading.enumerate())


def test_commands_from_many_threads(proxy: TcpProxy, client: socket.socket) -> None:
    def play() -> None:
        for _ in range(50):
            proxy.stall("to_client")
            proxy.delay(0.0)
            proxy.resume()
            proxy.refuse()
            proxy.resume()

    players = [threading.Thread(target=play) for _ in range(4)]
    for player in players:
        player.start()
    for player in players:
        player.join(30)
        assert not player.is_alive()
    assert ask(client, b"alive") == b"alive"


def test_the_address_in_a_dsn() -> None:
    assert address_of("postgresql://me:secret@db.example:6432/shop") == ("db.example", 6432)
    assert address_of("host=/run/pg port=5433 dbname=x") == ("/run/pg", 5433)
    assert address_of("dbname=x") == ("127.0.0.1", 5432)
