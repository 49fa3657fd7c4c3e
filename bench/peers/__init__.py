"""The peers, each as its own manual says to use it: how to start, to send, to take."""

from bench.peers.beanstalk import Beanstalkd
from bench.peers.peer import Peer
from bench.peers.redis_list import RedisList
from bench.peers.sqlite_table import SqliteBatches, SqliteCommits
from bench.peers.transports import MultiprocessingQueue, ZmqPush

PEERS: dict[str, Peer] = {
    peer.key: peer
    for peer in (
        MultiprocessingQueue(),
        ZmqPush(),
        SqliteCommits(),
        SqliteBatches(),
        RedisList(),
        Beanstalkd(),
    )
}

__all__ = ["PEERS", "Peer"]
